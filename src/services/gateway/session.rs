//! `Session`: many calls over one stream.
//!
//! A call that is answered from memory is answered at once; the others go on side
//! by side, and calls about one reservation one after the other. When so many are
//! under way that a client could fill the memory with them, nothing more is read
//! from it until some are answered.

use std::collections::{HashMap, VecDeque};
use std::pin::Pin;
use std::sync::Arc;

use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use tokio::sync::{mpsc, watch};
use tonic::{Request, Response, Status, Streaming};

use super::{authorize, extend, release, settle};
use crate::auth::{recheck, rule_of};
use crate::domain::fault::Violation;
use crate::domain::reason::Reason;
use crate::error::{Error, RETRY};
use crate::pb;
use crate::pb::session_call::Call;
use crate::pb::session_result::Result as Outcome;
use crate::services::wire::faults::Faults;
use crate::services::wire::messages::{Messages, messages};
use crate::services::wire::{status, text};
use crate::services::{App, Ctx, open};

/// What the service answers with.
pub(super) type Results = Messages<pb::SessionResponse>;

/// The most calls of a message.
const CALLS_MAX: usize = 1_000;

/// How many calls may be under way before no more are read.
const UNDER_WAY_MAX: usize = 10_000;

/// How many results a message carries.
const RESULTS_MAX: usize = 1_000;

/// How many messages wait for a client that reads slowly.
const WAITING: usize = 16;

/// Answers the calls of a stream.
pub(super) fn session(
    app: &Arc<App>,
    request: Request<Streaming<pb::SessionRequest>>,
) -> Result<Response<Results>, Status> {
    let (ctx, inbound) = open(app, request).map_err(|error| error.to_status())?;
    let (sender, receiver) = mpsc::channel(WAITING);
    let session = Session {
        ctx,
        sender,
        under_way: FuturesUnordered::new(),
        behind: HashMap::new(),
        results: Vec::new(),
        is_greeted: false,
    };
    // From here on it hears when the server stops.
    let stopping = session.ctx.app.gate.stopping();
    tokio::spawn(session.run(inbound, stopping));
    Ok(Response::new(messages(receiver)))
}

/// A call, and what names it.
type Named = (String, Call);

/// A result, and the reservation that the call was about.
type Done = (pb::SessionResult, Option<String>);

/// A call under way.
type UnderWay = Pin<Box<dyn Future<Output = Done> + Send>>;

/// A stream that is open.
struct Session {
    ctx: Ctx,
    sender: mpsc::Sender<Result<pb::SessionResponse, Status>>,
    under_way: FuturesUnordered<UnderWay>,
    /// The calls that wait for one before about the same reservation.
    behind: HashMap<String, VecDeque<Named>>,
    results: Vec<pb::SessionResult>,
    /// A message without calls waits for one without results.
    is_greeted: bool,
}

/// What comes next.
enum Event {
    Message(Result<Option<pb::SessionRequest>, Status>),
    Done(Box<Done>),
    Stopping,
    /// Nobody listens any more.
    Gone,
}

impl Session {
    /// Answers until the client has no more calls, or something ends the stream.
    /// What is being booked is booked all the same.
    async fn run(mut self, mut inbound: Streaming<pb::SessionRequest>, mut stopping: watch::Receiver<bool>) {
        let mut is_open = true;
        while is_open || !self.under_way.is_empty() {
            let has_room = is_open && self.calls() < UNDER_WAY_MAX;
            let event = tokio::select! {
                message = inbound.message(), if has_room => Event::Message(message),
                Some(done) = self.under_way.next() => Event::Done(Box::new(done)),
                _ = stopping.changed() => Event::Stopping,
                () = self.sender.closed() => Event::Gone,
            };
            let taken = match event {
                Event::Message(Ok(Some(message))) => self.take(message).await,
                Event::Message(Ok(None)) => {
                    is_open = false;
                    Ok(())
                }
                Event::Message(Err(broken)) => match Error::of_transport(broken.code()) {
                    Some(error) => Err(error),
                    // Of a client that went away there is nothing to tell.
                    None => return,
                },
                Event::Done(done) => {
                    self.finish(*done);
                    Ok(())
                }
                Event::Stopping => {
                    let cause = "the server stops".to_owned();
                    Err(Error::Unavailable { reason: Reason::ShuttingDown, cause, retry: RETRY })
                }
                Event::Gone => return,
            };
            // What else is ready goes with it.
            while let Some(Some(done)) = self.under_way.next().now_or_never() {
                self.finish(done);
            }
            if self.send().await.is_none() {
                return;
            }
            if let Err(error) = taken {
                self.ctx.log(&error);
                // The client may be gone.
                let _ = self.sender.send(Err(error.to_status())).await;
                return;
            }
        }
    }

    /// How many calls are not answered.
    fn calls(&self) -> usize {
        self.under_way.len() + self.behind.values().map(VecDeque::len).sum::<usize>()
    }

    /// Begins the calls of a message.
    async fn take(&mut self, message: pb::SessionRequest) -> Result<(), Error> {
        self.ctx.now = self.ctx.app.clock.now();
        recheck(&self.ctx.caller, self.ctx.rpc, self.ctx.app.gate.directory(), self.ctx.now).await?;
        let calls = parse(message)?;
        self.is_greeted |= calls.is_empty();
        for named in calls {
            if let Some(behind) = reservation_of(&named.1).and_then(|about| self.behind.get_mut(about)) {
                behind.push_back(named);
            } else {
                self.begin(named);
            }
        }
        Ok(())
    }

    /// Begins a call and, as long as these are answered at once, those that wait
    /// for it.
    fn begin(&mut self, named: Named) {
        let mut next = Some(named);
        while let Some(named) = next {
            next = self.start(named).and_then(|done| self.keep(done));
        }
    }

    /// Starts a call, which others about its reservation wait for; returns its
    /// result if it is answered at once.
    fn start(&mut self, (correlation_id, call): Named) -> Option<Done> {
        let about = reservation_of(&call).map(str::to_owned);
        if let Some(about) = &about {
            self.behind.entry(about.clone()).or_default();
        }
        let ctx = self.ctx.clone();
        let mut work: UnderWay = Box::pin(async move {
            let outcome = perform(&ctx, call).await.unwrap_or_else(|error| {
                ctx.log(&error);
                Outcome::Error(status::of(&error))
            });
            (pb::SessionResult { correlation_id, result: Some(outcome) }, about)
        });
        let done = (&mut work).now_or_never();
        if done.is_none() {
            self.under_way.push(work);
        }
        done
    }

    /// Keeps a result, and begins what waits for it.
    fn finish(&mut self, done: Done) {
        if let Some(named) = self.keep(done) {
            self.begin(named);
        }
    }

    /// Keeps a result; returns the next call about the same reservation.
    fn keep(&mut self, (result, about): Done) -> Option<Named> {
        self.results.push(result);
        let about = about?;
        let next = self.behind.get_mut(&about).and_then(VecDeque::pop_front);
        if next.is_none() {
            self.behind.remove(&about);
        }
        next
    }

    /// Sends what is answered. `None`: nobody listens any more.
    async fn send(&mut self) -> Option<()> {
        while !self.results.is_empty() || std::mem::take(&mut self.is_greeted) {
            let rest = self.results.split_off(self.results.len().min(RESULTS_MAX));
            let results = std::mem::replace(&mut self.results, rest);
            self.sender.send(Ok(pb::SessionResponse { results })).await.ok()?;
        }
        Some(())
    }
}

fn parse(message: pb::SessionRequest) -> Result<Vec<Named>, Error> {
    let mut faults = Faults::default();
    if message.calls.len() > CALLS_MAX {
        faults.add("calls", format!("must have at most {CALLS_MAX} entries"));
    }
    let mut calls = Vec::with_capacity(message.calls.len());
    for (index, pb::SessionCall { correlation_id, call }) in message.calls.into_iter().enumerate() {
        let path = format!("calls[{index}].correlation_id");
        text::check(&path, &correlation_id, text::LABEL_MAX_BYTES, &mut faults);
        match call {
            Some(call) => calls.push((correlation_id, call)),
            None => faults.0.push(Violation::new(format!("calls[{index}].call"), "is required")),
        }
    }
    faults.finish()?;
    Ok(calls)
}

/// The reservation that a call is about: only one at a time is.
fn reservation_of(call: &Call) -> Option<&str> {
    match call {
        Call::Authorize(_) => None,
        Call::Settle(of) => Some(&of.reservation_id),
        Call::Release(of) => Some(&of.reservation_id),
        Call::Extend(of) => Some(&of.reservation_id),
    }
}

async fn perform(ctx: &Ctx, call: Call) -> Result<Outcome, Error> {
    let rpc = match &call {
        Call::Authorize(_) => "bursar.v1.GatewayService/Authorize",
        Call::Settle(_) => "bursar.v1.GatewayService/Settle",
        Call::Release(_) => "bursar.v1.GatewayService/Release",
        Call::Extend(_) => "bursar.v1.GatewayService/Extend",
    };
    // As if it came by itself.
    let rule = rule_of(rpc).ok_or_else(|| Error::internal("an RPC without a rule"))?;
    let ctx = Ctx { scope: rule.admit(&ctx.caller)?, rpc, ..ctx.clone() };
    match call {
        Call::Authorize(request) => authorize::authorize(ctx, request).await.map(Outcome::Authorize),
        Call::Settle(request) => to_its_end(settle::settle(ctx, request)).await.map(Outcome::Settle),
        Call::Release(request) => release::release(ctx, request).await.map(Outcome::Release),
        Call::Extend(request) => to_its_end(extend::extend(ctx, request)).await.map(Outcome::Extend),
    }
}

/// Does what must be done to its end, whether the client waits for it or not.
fn to_its_end<T: Send + 'static>(
    work: impl Future<Output = Result<T, Error>> + Send + 'static,
) -> impl Future<Output = Result<T, Error>> {
    let done = tokio::spawn(work);
    async move { done.await.unwrap_or_else(|error| Err(Error::internal(error))) }
}
