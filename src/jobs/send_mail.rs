//! Mail: what waits in the outbox goes to the mail server, at least once.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::MissedTickBehavior;

use crate::domain::audit::Author;
use crate::domain::clock::{Clock, Timestamp};
use crate::domain::invitation::{Invitation, InvitationMail, InvitationState, InvitationToken, MailState};
use crate::domain::retry::pause_after;
use crate::mail::{InvitationLetter, Mailer, SendError};
use crate::store::{OutboxEntry, OutboxKind, SealKey, Store, StoreError};

const INTERVAL: Duration = Duration::from_secs(1);

/// How long a claim lasts, in seconds: longer than the mail server may take, so
/// that no other instance sends the same.
const CLAIM_SECONDS: i64 = 120;

/// Sends what is due, for ever.
pub(super) async fn send_mail(store: Store, mailer: Arc<Mailer>, seals: SealKey, clock: Clock) {
    let sender = Sender { store, mailer, seals, clock };
    let mut ticks = tokio::time::interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if let Err(error) = sender.send_due().await {
            tracing::warn!(%error, "the outbox could not be read or written; it is tried again");
        }
    }
}

struct Sender {
    store: Store,
    mailer: Arc<Mailer>,
    seals: SealKey,
    clock: Clock,
}

impl Sender {
    async fn send_due(&self) -> Result<(), StoreError> {
        loop {
            let now = self.clock.now();
            let until = now.plus_seconds(CLAIM_SECONDS);
            let claimed = self.store.claim_outbox_entry(OutboxKind::InvitationMail, None, now, until).await?;
            let Some(entry) = claimed else { return Ok(()) };
            self.send(&entry, now).await?;
        }
    }

    /// Sends the mail of an invitation and notes what came of it. An invitation
    /// that is accepted, revoked or expired is not mailed.
    async fn send(&self, entry: &OutboxEntry, now: Timestamp) -> Result<(), StoreError> {
        let found = self.store.view().find_invitation(&entry.subject).await?;
        let open = found.filter(|invitation| invitation.state(now) == InvitationState::Open);
        let sent = match &open {
            Some(invitation) => self.try_to_send(invitation, entry).await?,
            None => None,
        };
        let mut tx = self.store.begin(Author::bursar("mail"), self.clock.now()).await?;
        let Some((invitation, mail)) = open.zip(sent) else {
            tx.delete_outbox_entry(entry).await?;
            return tx.commit().await.map(drop);
        };
        if mail.state == MailState::Waiting {
            tx.postpone_outbox_entry(entry, tx.now().plus_seconds(pause_after(entry.attempts))).await?;
        } else {
            tx.delete_outbox_entry(entry).await?;
        }
        tx.note_mail(&invitation, mail).await?;
        // An invitation is not in memory.
        tx.commit().await.map(drop)
    }

    /// How far the mail of an invitation gets now.
    async fn try_to_send(
        &self,
        invitation: &Invitation,
        entry: &OutboxEntry,
    ) -> Result<Option<InvitationMail>, StoreError> {
        let Some(mail) = &invitation.mail else { return Ok(None) };
        let id = &invitation.invitation_id;
        let token = self.seals.of_invitation(id).open(entry.payload.clone());
        let token = token.and_then(|bytes| String::from_utf8(bytes).ok()).map(InvitationToken::stored);
        let token = token.ok_or_else(|| StoreError::Broken(format!("the mail of invitation {id} can't be opened")))?;
        let letter = InvitationLetter {
            to: &mail.to,
            invitation_id: id,
            user_id: &invitation.user_id,
            created_by: &invitation.created_by,
            token: &token,
            expires_at: invitation.expires_at,
        };
        let (state, error) = match self.mailer.send_invitation(&letter).await {
            Ok(()) => (MailState::Sent, None),
            Err(SendError { is_final, message }) => {
                let state = if is_final { MailState::Refused } else { MailState::Waiting };
                tracing::warn!(invitation_id = id, ?state, error = message, "an invitation was not mailed");
                (state, Some(message))
            }
        };
        Ok(Some(InvitationMail { to: mail.to.clone(), state, error }))
    }
}
