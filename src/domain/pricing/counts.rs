//! Counts: what a call used, and how overlapping counts become disjoint parts.

use super::super::fault::Violation;

/// The largest count that is accepted: beyond it a price times a count would
/// not be exact.
pub const COUNT_MAX: i64 = 1_000_000_000_000;

/// What one call used. `prompt` and `completion` are totals; the others are
/// parts of them, `citation` excepted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "usage.proto documents each count under the same name")]
pub struct Counts {
    pub prompt: i64,
    pub completion: i64,
    pub cache_read: i64,
    pub cache_write: i64,
    pub reasoning: i64,
    pub cache_write_1h: i64,
    pub cache_write_12h: i64,
    pub cache_read_audio: i64,
    pub cache_read_image: i64,
    pub input_audio: i64,
    pub input_image: i64,
    pub input_video: i64,
    pub output_audio: i64,
    pub output_image: i64,
    pub output_video: i64,
    pub citation: i64,
    pub cache_write_audio: i64,
}

impl Counts {
    /// Counts of plain text.
    #[must_use]
    pub fn text(prompt: i64, completion: i64) -> Self {
        Self { prompt, completion, ..Self::default() }
    }

    /// Input and output together.
    #[must_use]
    pub const fn total(&self) -> i64 {
        self.prompt.saturating_add(self.completion)
    }

    /// Whether there are no tokens.
    #[must_use]
    pub fn are_none(&self) -> bool {
        *self == Self::default()
    }

    /// Each count under its name on the wire.
    #[must_use]
    pub const fn named(&self) -> [(&'static str, i64); 17] {
        [
            ("prompt_tokens", self.prompt),
            ("completion_tokens", self.completion),
            ("cache_read_tokens", self.cache_read),
            ("cache_write_tokens", self.cache_write),
            ("reasoning_tokens", self.reasoning),
            ("cache_write_1h_tokens", self.cache_write_1h),
            ("cache_write_12h_tokens", self.cache_write_12h),
            ("cache_read_audio_tokens", self.cache_read_audio),
            ("cache_read_image_tokens", self.cache_read_image),
            ("input_audio_tokens", self.input_audio),
            ("input_image_tokens", self.input_image),
            ("input_video_tokens", self.input_video),
            ("output_audio_tokens", self.output_audio),
            ("output_image_tokens", self.output_image),
            ("output_video_tokens", self.output_video),
            ("citation_tokens", self.citation),
            ("cache_write_audio_tokens", self.cache_write_audio),
        ]
    }

    /// Reports every count that can't be.
    pub fn check(&self, prefix: &str, violations: &mut Vec<Violation>) {
        for (name, count) in self.named() {
            if !(0..=COUNT_MAX).contains(&count) {
                violations.push(Violation::new(format!("{prefix}{name}"), format!("must be 0-{COUNT_MAX}")));
            }
        }
        if self.cache_write_1h.saturating_add(self.cache_write_12h) > self.cache_write {
            let rule = "cache_write_1h_tokens and cache_write_12h_tokens are parts of it and must not exceed it";
            violations.push(Violation::new(format!("{prefix}cache_write_tokens"), rule));
        }
    }

    /// Counts in which the prompt holds the cached tokens too, from a reporter
    /// that left them out.
    #[must_use]
    pub fn with_cache_in_prompt(mut self) -> Self {
        self.prompt = self.prompt.saturating_add(self.cache_read).saturating_add(self.cache_write);
        self
    }

    /// The disjoint parts of the counts. A part that is larger than what is
    /// left of its whole is cut, never the whole made negative.
    #[must_use]
    pub fn parts(&self) -> Parts {
        let mut inconsistent = self.cache_read.saturating_add(self.cache_write) > self.prompt;
        let mut cut = |part: i64, left: &mut i64| {
            let taken = part.min(*left);
            inconsistent |= taken < part;
            *left -= taken;
            taken
        };
        let mut input = (self.prompt.saturating_sub(self.cache_read).saturating_sub(self.cache_write)).max(0);
        let input_audio = cut(self.input_audio, &mut input);
        let input_image = cut(self.input_image, &mut input);
        let input_video = cut(self.input_video, &mut input);
        let mut output = self.completion;
        let reasoning = cut(self.reasoning, &mut output);
        let output_audio = cut(self.output_audio, &mut output);
        let output_image = cut(self.output_image, &mut output);
        let output_video = cut(self.output_video, &mut output);
        let mut cache_read = self.cache_read;
        let cache_read_audio = cut(self.cache_read_audio, &mut cache_read);
        let cache_read_image = cut(self.cache_read_image, &mut cache_read);
        let mut cache_write = self.cache_write - self.cache_write_1h - self.cache_write_12h;
        let cache_write_audio = cut(self.cache_write_audio, &mut cache_write);
        Parts {
            input_text: input,
            input_audio,
            input_image,
            input_video,
            cache_read,
            cache_read_audio,
            cache_read_image,
            cache_write_5m: cache_write,
            cache_write_audio,
            cache_write_1h: self.cache_write_1h,
            cache_write_12h: self.cache_write_12h,
            output_text: output,
            reasoning,
            output_audio,
            output_image,
            output_video,
            citation: self.citation,
            inconsistent,
        }
    }
}

/// Counts that do not overlap: each token is in exactly one of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are those of the counts")]
pub struct Parts {
    pub input_text: i64,
    pub input_audio: i64,
    pub input_image: i64,
    pub input_video: i64,
    pub cache_read: i64,
    pub cache_read_audio: i64,
    pub cache_read_image: i64,
    pub cache_write_5m: i64,
    pub cache_write_audio: i64,
    pub cache_write_1h: i64,
    pub cache_write_12h: i64,
    pub output_text: i64,
    pub reasoning: i64,
    pub output_audio: i64,
    pub output_image: i64,
    pub output_video: i64,
    pub citation: i64,
    /// Something was cut.
    pub inconsistent: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_never_exceed_their_whole() {
        let counts = Counts { prompt: 100, cache_read: 150, completion: 10, reasoning: 20, ..Counts::default() };
        let parts = counts.parts();
        assert_eq!((parts.input_text, parts.cache_read), (0, 150));
        assert_eq!((parts.reasoning, parts.output_text), (10, 0));
        assert!(parts.inconsistent);
        assert!(!Counts::text(5, 5).parts().inconsistent);
    }

    #[test]
    fn impossible_counts_are_named() {
        let mut violations = Vec::new();
        let counts =
            Counts { prompt: -1, completion: COUNT_MAX + 1, cache_write_1h: 2, cache_write: 1, ..Counts::default() };
        counts.check("events[0].", &mut violations);
        let fields: Vec<_> = violations.iter().map(|violation| violation.field.as_str()).collect();
        assert_eq!(fields, ["events[0].prompt_tokens", "events[0].completion_tokens", "events[0].cache_write_tokens"]);
    }
}
