//! The letter to somebody who is invited.

use crate::domain::clock::Timestamp;
use crate::domain::ids::UserId;
use crate::domain::invitation::InvitationToken;
use crate::domain::user::Email;

pub(super) const SUBJECT: &str = "Your invitation to Bursar";

/// What a letter says.
pub struct InvitationLetter<'a> {
    /// Whom it is for.
    pub to: &'a Email,
    /// The invitation.
    pub invitation_id: &'a str,
    /// Who is invited.
    pub user_id: &'a UserId,
    /// Who invites.
    pub created_by: &'a str,
    /// The token.
    pub token: &'a InvitationToken,
    /// Until when it is good.
    pub expires_at: Timestamp,
}

impl InvitationLetter<'_> {
    /// The letter, with a link to the page at this address.
    pub(super) fn text(&self, invitation_url: &str) -> String {
        let Self { user_id, token, .. } = self;
        let token = token.reveal();
        let by = match UserId::parse(self.created_by) {
            Ok(user) if !user.is_reserved() => format!(" by {user}"),
            _ => String::new(),
        };
        let end = self.expires_at.to_utc().format("%Y-%m-%d %H:%M UTC");
        format!(
            "Hello,

you are invited to Bursar{by}. Bursar manages access to language models; there
you are {user_id}. To set your password, open this page before {end}:

{invitation_url}{token}

Whoever has this link can set your password, once: pass it on to nobody. If you
did not expect this, leave it alone.
"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_letter_says_who_invites_whom_until_when() {
        let text = |created_by: &str| {
            let letter = InvitationLetter {
                to: &Email::stored("nina@b.c".to_owned()),
                invitation_id: "i",
                user_id: &UserId::stored("nina"),
                created_by,
                token: &InvitationToken::stored("t0ken".to_owned()),
                expires_at: Timestamp::from_micros(1_740_787_200_000_000),
            };
            letter.text("https://b.c/join?token=")
        };
        let told = text("olga");
        for part in
            ["Bursar by olga.", "you are nina.", "before 2025-03-01 00:00 UTC:", "\nhttps://b.c/join?token=t0ken\n"]
        {
            assert!(told.contains(part), "{told}");
        }
        assert!(text("master").contains("invited to Bursar. "));
    }
}
