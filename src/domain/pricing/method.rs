//! Methods: by what a call is billed. A method tries its ways in order; the
//! first one for which there is a price and something to bill is taken, so
//! that nothing is billed twice.

use super::price::Price;

/// What a call is billed by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Tokens.
    Tokens,
    /// Tokens, if tokens of generated images are among them.
    ImageTokens,
    /// The time that the call took.
    WallSeconds,
    /// Seconds of audio that went in.
    InputSeconds,
    /// Seconds of speech that came out.
    SpeechSeconds,
    /// Seconds of video that came out.
    VideoSeconds,
    /// Characters that went in.
    InputCharacters,
    /// Characters that went in and came out.
    Characters,
    /// Images that came out, or whatever else a list prices by them.
    Images,
    /// Pixels that came out.
    Pixels,
    /// Queries, by the most results that they may have.
    Queries,
    /// Pages that were read.
    Pages,
}

/// How calls of one type are billed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Method {
    /// The types of calls, and the modes of models.
    names: &'static [&'static str],
    /// The first that applies is taken.
    pub ways: &'static [Way],
    /// Also billed, whatever else is.
    pub also: &'static [Way],
    /// Whether images and seconds that go in are billed beside tokens.
    pub embeds_media: bool,
    /// Whether nothing comes out that could be billed.
    pub without_output: bool,
}

const METHODS: [Method; 9] = [
    Method {
        names: &[
            "chat",
            "chat_completion",
            "completion",
            "text_completion",
            "responses",
            "messages",
            "anthropic_messages",
            "realtime",
            "batch",
            "evaluation",
            "decisions",
            "extraction",
        ],
        ways: &[Way::Tokens, Way::Characters, Way::Images, Way::WallSeconds],
        also: &[],
        embeds_media: false,
        without_output: false,
    },
    Method {
        names: &["embedding"],
        ways: &[Way::Tokens, Way::WallSeconds],
        also: &[],
        embeds_media: true,
        without_output: true,
    },
    Method {
        names: &["moderation"],
        ways: &[Way::Tokens, Way::WallSeconds],
        also: &[],
        embeds_media: false,
        without_output: true,
    },
    Method {
        names: &["transcription", "audio_transcription"],
        ways: &[Way::Tokens, Way::InputSeconds],
        also: &[],
        embeds_media: false,
        without_output: false,
    },
    Method {
        names: &["speech", "audio_speech"],
        ways: &[Way::InputCharacters, Way::Tokens, Way::SpeechSeconds, Way::Images],
        also: &[],
        embeds_media: false,
        without_output: false,
    },
    Method {
        names: &["image_generation", "image_edit"],
        ways: &[Way::ImageTokens, Way::Images, Way::Pixels, Way::Tokens],
        also: &[],
        embeds_media: false,
        without_output: false,
    },
    Method {
        names: &["video", "video_generation", "create_video"],
        ways: &[Way::VideoSeconds, Way::Images, Way::Tokens],
        also: &[],
        embeds_media: false,
        without_output: false,
    },
    Method {
        names: &["rerank", "search", "vector_store"],
        ways: &[Way::Queries],
        also: &[Way::Tokens],
        embeds_media: false,
        without_output: true,
    },
    Method { names: &["ocr"], ways: &[Way::Pages], also: &[Way::Tokens], embeds_media: false, without_output: false },
];

impl Method {
    /// How a call is billed by a price. A call of no type is a chat, unless the
    /// model has no price for tokens and does something else. `None`: nobody
    /// knows.
    #[must_use]
    pub fn of(call_type: &str, price: &Price) -> Option<&'static Self> {
        if call_type.is_empty() {
            let mode = price.mode.as_deref().filter(|_| !price.bills_tokens());
            return mode.and_then(Self::named).or(METHODS.first());
        }
        Self::named(call_type)
    }

    /// How a model is billed that does this; `None`: nobody knows.
    #[must_use]
    pub fn of_mode(price: &Price) -> Option<&'static Self> {
        price.mode.as_deref().map_or(METHODS.first(), Self::named)
    }

    /// By the name of a type of calls, or by that of its asynchronous form, in
    /// any case.
    fn named(name: &str) -> Option<&'static Self> {
        let has =
            |name: &str| METHODS.iter().find(|method| method.names.iter().any(|it| it.eq_ignore_ascii_case(name)));
        has(name).or_else(|| has(name.strip_prefix(['a', 'A'])?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_of_calls_are_known_by_their_names() {
        let chat = METHODS.first();
        let bare = Price::default();
        for name in ["", "chat", "acompletion", "CHAT", "anthropic_messages", "aresponses"] {
            assert_eq!(Method::of(name, &bare), chat, "{name}");
        }
        for (name, way) in [
            ("atranscription", Way::Tokens),
            ("audio_speech", Way::InputCharacters),
            ("image_edit", Way::ImageTokens),
            ("arerank", Way::Queries),
            ("aocr", Way::Pages),
            ("video_generation", Way::VideoSeconds),
        ] {
            assert_eq!(Method::of(name, &bare).map(|method| method.ways[0]), Some(way), "{name}");
        }
        assert_eq!(Method::of("telepathy", &bare), None);
    }

    #[test]
    fn a_call_of_no_type_is_what_the_model_does_if_it_does_not_chat() {
        let image = Price { mode: Some("image_generation".to_owned()), ..Price::default() };
        assert_eq!(Method::of("", &image).map(|method| method.ways[0]), Some(Way::ImageTokens));
        let mut priced = image;
        priced.rates.insert("input_cost_per_token", rust_decimal::Decimal::ONE, true);
        assert_eq!(Method::of("", &priced), METHODS.first());
    }
}
