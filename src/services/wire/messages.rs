//! Streams of answers.

use std::pin::Pin;

use futures_util::{Stream, stream};
use tokio::sync::mpsc;
use tonic::Status;

/// A stream of answers.
pub(crate) type Messages<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// What a channel brings, as a stream of answers.
pub(crate) fn messages<T: Send + 'static>(receiver: mpsc::Receiver<Result<T, Status>>) -> Messages<T> {
    Box::pin(stream::unfold(receiver, |mut receiver| async move {
        let message = receiver.recv().await?;
        Some((message, receiver))
    }))
}
