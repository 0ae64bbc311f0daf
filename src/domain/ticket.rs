//! Tickets: a reservation's id that says what was reserved, so that any
//! instance can settle it, also after a crash.

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use subtle::ConstantTimeEq;
use uuid::Uuid;

use super::account::AccountId;
use super::clock::Timestamp;
use super::ids::KeyId;
use super::money::Usd;

/// The format's first byte.
const VERSION: u8 = 2;
/// The bytes of the signature that are kept.
const SIGNATURE_BYTES: usize = 16;
/// The most characters of a ticket.
pub const TICKET_MAX_CHARS: usize = 2_610;
/// The most accounts that a ticket names: those of a key, and of some ninety
/// labels with budgets. What is held in others is freed when it expires.
const HELD_MAX: u8 = 104;

/// What tickets are signed with: shared by all instances of one database.
#[derive(Clone)]
pub struct TicketKey(hmac::Key);

impl TicketKey {
    /// A key made of secret bytes.
    #[must_use]
    pub fn new(secret: &[u8]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, secret))
    }
}

/// What a reservation's id says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ticket {
    /// The reservation.
    pub reservation: Uuid,
    /// Who may settle it: [`caller_tag`] of the caller that authorised it.
    pub caller: u64,
    /// The key that calls.
    pub key_id: KeyId,
    /// The run of an instance in whose memory the reservation is.
    pub holder: i64,
    /// When the call was authorised.
    pub authorized_at: Timestamp,
    /// From when on the reservation no longer counts.
    pub expires_at: Timestamp,
    /// What is set aside in each account that holds it.
    pub amount: Usd,
    /// The accounts that hold it, as [`account_tag`]s.
    pub held_by: Vec<u64>,
    /// The model after aliases.
    pub model: String,
    /// The model that was asked for.
    pub model_group: String,
}

impl Ticket {
    /// The ticket as text, signed.
    #[must_use]
    pub fn seal(&self, key: &TicketKey) -> String {
        let mut bytes = Vec::with_capacity(128 + self.model.len() + self.model_group.len());
        bytes.push(VERSION);
        bytes.extend(self.reservation.as_bytes());
        bytes.extend(self.key_id.0.as_bytes());
        bytes.extend(self.caller.to_be_bytes());
        for number in [self.holder, self.authorized_at.micros(), self.expires_at.micros(), self.amount.nanos()] {
            bytes.extend(number.to_be_bytes());
        }
        // A call touches a handful of accounts, and those of its labels.
        bytes.push(u8::try_from(self.held_by.len()).map_or(HELD_MAX, |count| count.min(HELD_MAX)));
        for tag in self.held_by.iter().take(HELD_MAX.into()) {
            bytes.extend(tag.to_be_bytes());
        }
        let group = if self.model_group == self.model { "" } else { &self.model_group };
        for text in [&self.model, group] {
            bytes.extend(u16::try_from(text.len()).unwrap_or(u16::MAX).to_be_bytes());
            bytes.extend(text.as_bytes());
        }
        let signature = hmac::sign(&key.0, &bytes);
        bytes.extend(&signature.as_ref()[..SIGNATURE_BYTES]);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Reads a ticket; `None` if Bursar did not write it.
    #[must_use]
    pub fn open(text: &str, key: &TicketKey) -> Option<Self> {
        if text.len() > TICKET_MAX_CHARS {
            return None;
        }
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (content, signature) = bytes.split_at_checked(bytes.len().checked_sub(SIGNATURE_BYTES)?)?;
        let expected = hmac::sign(&key.0, content);
        if !bool::from(expected.as_ref()[..SIGNATURE_BYTES].ct_eq(signature)) {
            return None;
        }
        let mut reader = Reader(content);
        if reader.take::<1>()? != [VERSION] {
            return None;
        }
        let reservation = Uuid::from_bytes(reader.take()?);
        let key_id = KeyId(Uuid::from_bytes(reader.take()?));
        let caller = u64::from_be_bytes(reader.take()?);
        let holder = i64::from_be_bytes(reader.take()?);
        let authorized_at = Timestamp::from_micros(i64::from_be_bytes(reader.take()?));
        let expires_at = Timestamp::from_micros(i64::from_be_bytes(reader.take()?));
        let amount = Usd::from_nanos(i64::from_be_bytes(reader.take()?));
        let [tags] = reader.take()?;
        let held_by = (0..tags).map(|_| reader.take().map(u64::from_be_bytes)).collect::<Option<_>>()?;
        let model = reader.text()?;
        let group = reader.text()?;
        let model_group = if group.is_empty() { model.clone() } else { group };
        Some(Self {
            reservation,
            caller,
            key_id,
            holder,
            authorized_at,
            expires_at,
            amount,
            held_by,
            model,
            model_group,
        })
    }
}

/// What is left of a ticket's bytes.
struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*taken)
    }

    fn text(&mut self) -> Option<String> {
        let length = usize::from(u16::from_be_bytes(self.take()?));
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        String::from_utf8(taken.to_vec()).ok()
    }
}

/// A short name for an account inside a ticket: long enough that no two that
/// anybody has share it.
#[must_use]
pub fn account_tag(account: &AccountId) -> u64 {
    fold(account.scope().as_str().bytes().chain([0]).chain(account.name().bytes()))
}

/// A short name for the caller that a ticket is given to.
#[must_use]
pub fn caller_tag(caller: Option<KeyId>) -> u64 {
    caller.map_or(0, |key| key.0.as_u64_pair().1)
}

/// FNV-1a: stable for ever, which a hasher of the standard library is not.
fn fold(bytes: impl Iterator<Item = u8>) -> u64 {
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_ticket() -> impl Strategy<Value = Ticket> {
        let names = ("[a-z/-]{0,512}", "[a-z/-]{500,512}");
        let held_by = proptest::collection::vec(any::<u64>(), 0..=HELD_MAX.into());
        (any::<u128>(), any::<u64>(), any::<i64>(), held_by, names).prop_map(
            |(id, caller, number, held_by, (model, model_group))| Ticket {
                reservation: Uuid::from_u128(id),
                caller,
                key_id: KeyId(Uuid::from_u128(!id)),
                holder: number,
                authorized_at: Timestamp::from_micros(number),
                expires_at: Timestamp::from_micros(!number),
                amount: Usd::from_nanos(number),
                held_by,
                model,
                model_group,
            },
        )
    }

    proptest! {
        #[test]
        fn opening_undoes_sealing(ticket in any_ticket()) {
            let key = TicketKey::new(b"secret");
            let sealed = ticket.seal(&key);
            prop_assert!(sealed.len() <= TICKET_MAX_CHARS);
            prop_assert_eq!(Ticket::open(&sealed, &TicketKey::new(b"other")), None);
            prop_assert_eq!(Ticket::open(&sealed, &key), Some(ticket));
        }

        #[test]
        fn a_changed_ticket_does_not_open(ticket in any_ticket(), at in any::<prop::sample::Index>()) {
            let key = TicketKey::new(b"secret");
            let sealed = ticket.seal(&key);
            let at = at.index(sealed.len());
            let changed = if &sealed[at..=at] == "A" { "B" } else { "A" };
            let forged = format!("{}{changed}{}", &sealed[..at], &sealed[at + 1..]);
            prop_assert_eq!(Ticket::open(&forged, &key), None);
        }

        #[test]
        fn junk_never_panics(text in "\\PC{0,80}") {
            prop_assert_eq!(Ticket::open(&text, &TicketKey::new(b"secret")), None);
        }
    }
}
