//! Counting the tokens of a conversation, for an estimate before a call.

use std::sync::LazyLock;

use prost_types::Struct;
use prost_types::value::Kind;
use tiktoken_rs::CoreBPE;
use tiktoken_rs::tokenizer::{Tokenizer, get_tokenizer};

/// Tokens that frame each message, and the answer.
const MESSAGE_FRAME: usize = 3;
/// Tokens that a name adds.
const NAME_FRAME: usize = 1;

/// An encoding, and its name.
type Encoding = (&'static str, &'static LazyLock<CoreBPE>);

// Each takes a moment and some memory to build, and is built when it is first
// needed. The vocabularies are part of the binary: building them cannot fail.
static O200K: LazyLock<CoreBPE> = LazyLock::new(|| tiktoken_rs::o200k_base().expect("an embedded vocabulary"));
static CL100K: LazyLock<CoreBPE> = LazyLock::new(|| tiktoken_rs::cl100k_base().expect("an embedded vocabulary"));
static P50K: LazyLock<CoreBPE> = LazyLock::new(|| tiktoken_rs::p50k_base().expect("an embedded vocabulary"));
static R50K: LazyLock<CoreBPE> = LazyLock::new(|| tiktoken_rs::r50k_base().expect("an embedded vocabulary"));

/// The encoding of a model's family; of unknown models the newest.
fn encoding(model: &str) -> Encoding {
    let name = model.rsplit('/').next().unwrap_or(model);
    match get_tokenizer(name) {
        Some(Tokenizer::Cl100kBase) => ("cl100k_base", &CL100K),
        Some(Tokenizer::P50kBase | Tokenizer::P50kEdit) => ("p50k_base", &P50K),
        Some(Tokenizer::R50kBase | Tokenizer::Gpt2) => ("r50k_base", &R50K),
        _ => ("o200k_base", &O200K),
    }
}

/// Counts the input tokens of a conversation; says by which encoding.
pub(super) fn count(model: &str, messages: &[Struct]) -> (i64, &'static str) {
    let (name, bpe) = encoding(model);
    let tokens = |text: &str| bpe.encode_ordinary(text).len();
    let of_message = |message: &Struct| {
        let fields = message.fields.iter().map(|(field, value)| {
            let frame = if field == "name" { NAME_FRAME } else { 0 };
            frame + texts(value).into_iter().map(tokens).sum::<usize>()
        });
        MESSAGE_FRAME + fields.sum::<usize>()
    };
    let total = messages.iter().map(of_message).sum::<usize>() + MESSAGE_FRAME;
    (i64::try_from(total).unwrap_or(i64::MAX), name)
}

/// The text of a field: itself, or the `text` parts of a list.
fn texts(value: &prost_types::Value) -> Vec<&str> {
    match &value.kind {
        Some(Kind::StringValue(text)) => vec![text],
        Some(Kind::ListValue(list)) => list.values.iter().flat_map(texts).collect(),
        Some(Kind::StructValue(part)) => part.fields.get("text").map(texts).unwrap_or_default(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::services::wire::metadata::to_wire;
    use serde_json::json;

    fn message(value: &serde_json::Value) -> Struct {
        to_wire(value.as_object().expect("an object"))
    }

    #[test]
    fn conversations_are_counted_by_the_encoding_of_the_model() {
        let messages = [message(&json!({"role": "user", "content": "hello world"}))];
        // 3 around the message, 1 role, 2 words, 3 before the answer.
        assert_eq!(count("gpt-4o", &messages), (9, "o200k_base"));
        assert_eq!(count("openai/gpt-4", &messages), (9, "cl100k_base"));
        assert_eq!(count("unheard-of", &messages).1, "o200k_base");
    }

    #[test]
    fn parts_of_a_message_count_like_its_text() {
        let plain = [message(&json!({"role": "user", "content": "hello world"}))];
        let parts = [message(&json!({"role": "user", "content": [
            {"type": "text", "text": "hello world"},
            {"type": "image_url", "image_url": {"url": "https://example.com/x.png"}},
        ]}))];
        assert_eq!(count("gpt-4o", &parts), count("gpt-4o", &plain));
    }
}
