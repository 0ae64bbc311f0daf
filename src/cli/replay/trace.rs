//! The trace: one model call a line.

/// The columns that a line has.
const HEADER: &str = "TIMESTAMP,ContextTokens,GeneratedTokens";

/// One model call of a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TracedCall {
    /// Tokens that went in.
    pub(super) prompt_tokens: i64,
    /// Tokens that came out.
    pub(super) completion_tokens: i64,
}

/// Reads a trace. Its timestamps do not matter: calls are made at full speed,
/// and counted when they are made.
///
/// # Errors
/// The number of the line that is none, and what it should be.
pub(super) fn parse(csv: &str) -> Result<Vec<TracedCall>, String> {
    let mut lines = csv.lines();
    if lines.next().map(str::trim) != Some(HEADER) {
        return Err(format!("line 1 of the trace must be {HEADER}"));
    }
    let calls = lines.enumerate().filter(|(_, line)| !line.trim().is_empty()).map(|(index, line)| {
        let wrong = || format!("line {} of the trace must be a time and two counts of tokens: {line:?}", index + 2);
        let mut columns = line.trim().split(',').skip(1).map(|text| text.parse().ok().filter(|count| *count >= 0));
        match (columns.next().flatten(), columns.next().flatten(), columns.next()) {
            (Some(prompt_tokens), Some(completion_tokens), None) => Ok(TracedCall { prompt_tokens, completion_tokens }),
            _ => Err(wrong()),
        }
    });
    calls.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_a_time_and_two_counts() {
        let calls = parse("TIMESTAMP,ContextTokens,GeneratedTokens\r\n2023-11-16 18:15:46,374,44\r\n\r\nx,1,0");
        let call = |prompt_tokens, completion_tokens| TracedCall { prompt_tokens, completion_tokens };
        assert_eq!(calls, Ok(vec![call(374, 44), call(1, 0)]));
    }

    #[test]
    fn a_wrong_line_is_told_by_its_number() {
        for (line, named) in
            [("", "line 1"), ("TIMESTAMP,ContextTokens,GeneratedTokens\nx,1,2\nx,1", "line 3"), ("a,b", "line 1")]
        {
            assert!(parse(line).expect_err("refused").contains(named), "{line:?}");
        }
        for bad in ["x,-1,2", "x,1,2,3", "x,one,2", "x,1.5,2"] {
            assert!(parse(&format!("{HEADER}\n{bad}")).is_err(), "{bad}");
        }
    }
}
