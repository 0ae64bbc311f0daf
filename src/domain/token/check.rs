//! When a token is good, and for whom.

use super::{Claims, Issuer, TokenFault};
use crate::domain::clock::Timestamp;

/// Checks the claims `exp`, `nbf`, `iat` and `aud`; says when the token's time
/// is over, leeway included.
///
/// # Errors
/// [`TokenFault`] for the first that is not as it must be.
pub fn check(claims: &Claims, issuer: &Issuer, now: Timestamp) -> Result<Timestamp, TokenFault> {
    let seconds = |name, fault| claims.seconds(name).map_err(|_| TokenFault::Invalid(fault));
    let exp = seconds("exp", "the token's exp is no number of seconds")?;
    let exp = exp.ok_or(TokenFault::Invalid("the token has no exp"))?;
    let nbf = seconds("nbf", "the token's nbf is no number of seconds")?;
    let iat = seconds("iat", "the token's iat is no number of seconds")?;
    let now_seconds = now.micros().div_euclid(1_000_000);
    let leeway = issuer.leeway_seconds;
    let ends = exp.saturating_add(leeway);
    if now_seconds >= ends {
        return Err(TokenFault::Expired);
    }
    if [nbf, iat].into_iter().flatten().any(|begin| begin > now_seconds.saturating_add(leeway)) {
        return Err(TokenFault::Invalid("the token is not good yet"));
    }
    // Without iat: what is left of its life.
    if exp.saturating_sub(iat.unwrap_or(now_seconds)) > issuer.lifetime_max_seconds {
        return Err(TokenFault::Invalid("the token lives longer than its issuer's max_lifetime"));
    }
    if !claims.audiences().iter().any(|audience| issuer.audiences.contains(audience)) {
        return Err(TokenFault::Audience);
    }
    Ok(Timestamp::EPOCH.plus_seconds(ends))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::domain::token::tests::issuer;

    const NOW: i64 = 1_000_000;

    fn checked(claims: Value) -> Result<i64, TokenFault> {
        let claims = Claims(claims.as_object().expect("an object").clone());
        let issuer = Issuer { leeway_seconds: 30, lifetime_max_seconds: 3_600, ..issuer() };
        let now = Timestamp::EPOCH.plus_seconds(NOW);
        check(&claims, &issuer, now).map(|ends| ends.micros() / 1_000_000)
    }

    #[test]
    fn a_token_is_good_for_its_time_and_audience() {
        let not_yet = Err(TokenFault::Invalid("the token is not good yet"));
        let too_long = Err(TokenFault::Invalid("the token lives longer than its issuer's max_lifetime"));
        for (claims, expected) in [
            (json!({ "exp": NOW + 60 }), Ok(NOW + 90)),
            (json!({ "exp": NOW - 29 }), Ok(NOW + 1)),
            (json!({ "exp": NOW - 30 }), Err(TokenFault::Expired)),
            (json!({ "exp": NOW - 31 }), Err(TokenFault::Expired)),
            (json!({}), Err(TokenFault::Invalid("the token has no exp"))),
            (json!({ "exp": "soon" }), Err(TokenFault::Invalid("the token's exp is no number of seconds"))),
            (json!({ "exp": NOW + 60, "nbf": NOW + 30 }), Ok(NOW + 90)),
            (json!({ "exp": NOW + 60, "nbf": NOW + 31 }), not_yet.clone()),
            (json!({ "exp": NOW + 60, "iat": NOW + 31 }), not_yet),
            (
                json!({ "exp": NOW + 60, "nbf": [] }),
                Err(TokenFault::Invalid("the token's nbf is no number of seconds")),
            ),
            (json!({ "exp": NOW + 3_600 }), Ok(NOW + 3_630)),
            (json!({ "exp": NOW + 3_601 }), too_long.clone()),
            (json!({ "exp": NOW + 3_000, "iat": NOW - 600 }), Ok(NOW + 3_030)),
            (json!({ "exp": NOW + 3_001, "iat": NOW - 600 }), too_long.clone()),
            (json!({ "exp": i64::MAX, "iat": i64::MIN }), too_long),
        ] {
            let mut claims = claims;
            claims["aud"] = json!("bursar");
            assert_eq!(checked(claims.clone()), expected, "{claims}");
        }
        for (audience, good) in [
            (json!("bursar"), true),
            (json!(["other", "bursar"]), true),
            (json!(["other"]), false),
            (json!("Bursar"), false),
            (json!([]), false),
            (Value::Null, false),
        ] {
            let expected = if good { Ok(NOW + 90) } else { Err(TokenFault::Audience) };
            assert_eq!(checked(json!({ "exp": NOW + 60, "aud": audience })), expected, "{audience}");
        }
    }
}
