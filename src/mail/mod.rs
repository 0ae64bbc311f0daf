//! Mail: what Bursar writes to people, by a mail server (SMTP).

mod invitation;

use std::time::Duration;

use lettre::message::header::ContentType;
use lettre::message::{Mailbox, Message};
use lettre::transport::smtp::response::Category;
use lettre::{Address, AsyncSmtpTransport, AsyncTransport, Tokio1Executor};

pub use self::invitation::InvitationLetter;
use crate::domain::user::Email;

/// How long a mail server may take for one mail.
pub const TIMEOUT: Duration = Duration::from_secs(30);

/// The most characters that are kept of what a mail server says.
const ERROR_MAX_CHARS: usize = 500;

/// Why there can be no mailer: what is wrong with one of its settings.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The address of the mail server. It is not repeated: it may hold a
    /// password.
    #[error("smtp_url: must be like smtps://user:password@host, or smtp://host:587?tls=required")]
    Server,
    /// The sender.
    #[error("mail_from: {text:?} is no sender: {cause}")]
    From {
        /// The setting.
        text: String,
        /// Why not.
        cause: String,
    },
    /// The address of the page.
    #[error("invitation_url: {0:?} must begin with https:// or http://")]
    Page(String),
}

/// Why a mail was not sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct SendError {
    /// Whether the mail server will never take it.
    pub is_final: bool,
    /// What it said, or what failed.
    pub message: String,
}

/// Sends mail.
pub struct Mailer {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
    invitation_url: String,
}

impl Mailer {
    /// A mailer for a server, a sender, and the page that takes the token of an
    /// invitation at the end of its address. Nothing is connected yet.
    ///
    /// # Errors
    /// [`SetupError`] that names the setting.
    pub fn new(smtp_url: &str, from: &str, invitation_url: &str) -> Result<Self, SetupError> {
        let builder = AsyncSmtpTransport::<Tokio1Executor>::from_url(smtp_url).map_err(|_| SetupError::Server)?;
        let wrong =
            |cause: lettre::address::AddressError| SetupError::From { text: from.to_owned(), cause: cause.to_string() };
        let from = from.parse().map_err(wrong)?;
        if !["https://", "http://"].iter().any(|scheme| invitation_url.starts_with(scheme)) {
            return Err(SetupError::Page(invitation_url.to_owned()));
        }
        let transport = builder.timeout(Some(TIMEOUT)).build();
        Ok(Self { transport, from, invitation_url: invitation_url.to_owned() })
    }

    /// Whether mail can go to an address at all.
    pub fn takes(&self, address: &Email) -> bool {
        address.as_str().parse::<Address>().is_ok()
    }

    /// Sends an invitation. A server that gets it twice can tell: both have the
    /// same id.
    ///
    /// # Errors
    /// [`SendError`]; then the server did not take it, or did not say so.
    pub async fn send_invitation(&self, letter: &InvitationLetter<'_>) -> Result<(), SendError> {
        let is_final = |error: &dyn std::error::Error| SendError { is_final: true, message: clip(error.to_string()) };
        let to: Address = letter.to.as_str().parse().map_err(|error| is_final(&error))?;
        let message = Message::builder()
            .from(self.from.clone())
            .to(to.into())
            .subject(invitation::SUBJECT)
            .message_id(Some(format!("<{}@{}>", letter.invitation_id, self.from.email.domain())))
            .header(ContentType::TEXT_PLAIN)
            .body(letter.text(&self.invitation_url))
            .map_err(|error| is_final(&error))?;
        match self.transport.send(message).await {
            Ok(_) => Ok(()),
            Err(error) => {
                // 55x is about the mailbox. Any other refusal, such as that of
                // a wrong password, may end when somebody mends it.
                let is_final = error.is_permanent()
                    && error.status().is_some_and(|code| matches!(code.category, Category::MailSystem));
                Err(SendError { is_final, message: clip(error.to_string()) })
            }
        }
    }
}

fn clip(text: String) -> String {
    text.chars().take(ERROR_MAX_CHARS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_setting_is_named_and_no_password_told() {
        let page = "https://bursar.example.com/join?token=";
        for (server, from, page, named) in [
            ("http://user:hunter2@host", "a@b.c", page, "smtp_url"),
            ("hunter2", "a@b.c", page, "smtp_url"),
            ("smtp://host", "nobody", page, "mail_from"),
            ("smtp://host", "a@b.c", "bursar.example.com", "invitation_url"),
        ] {
            let error = Mailer::new(server, from, page).err().expect("an error").to_string();
            assert!(error.starts_with(named) && !error.contains("hunter2"), "{error}");
        }
        for (server, from) in [("smtp://host", "a@b.c"), ("smtps://u:p%40@host:465", "Bursar <bursar@b.c>")] {
            Mailer::new(server, from, page).map(drop).expect("valid");
        }
    }
}
