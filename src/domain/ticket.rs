//! Tickets: a reservation's id that says what was reserved, so that any
//! instance can settle it, also after a crash.

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use subtle::ConstantTimeEq;
use uuid::Uuid;

use super::account::AccountId;
use super::clock::Timestamp;
use super::identity::{Payer, Principal};
use super::ids::{KeyId, OrganizationId, TeamId, UserId};
use super::money::Usd;

/// The format's first byte, where a key pays.
const OF_KEY: u8 = 2;
/// The same, where somebody without a key does.
const OF_PRINCIPAL: u8 = 3;
/// Added to the format's first byte of a ticket that names an end user.
const WITH_CUSTOMER: u8 = 2;
/// The bytes of the signature that are kept.
const SIGNATURE_BYTES: usize = 16;
/// The most characters of a ticket.
pub const TICKET_MAX_CHARS: usize = 2_610;
/// The bytes of such a ticket. It is the id of a usage event, and an index of
/// PostgreSQL takes no longer ones.
const BYTES_MAX: usize = TICKET_MAX_CHARS / 4 * 3;
/// As many accounts always find room: more than one payer has.
const TAGS_MIN: usize = 8;
/// The bytes of an amount, and of how many accounts hold it.
const HELD_BYTES: usize = 1 + 8;
/// The bytes of a ticket without those of names.
const BYTES_MIN: usize = 1 + 16 + 8 + 3 * 8 + 1 + SIGNATURE_BYTES;

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
    /// Who calls.
    pub payer: Payer,
    /// The run of an instance in whose memory the reservation is.
    pub holder: i64,
    /// When the call was authorised.
    pub authorized_at: Timestamp,
    /// From when on the reservation no longer counts.
    pub expires_at: Timestamp,
    /// What is set aside, and where; each amount once.
    pub held: Vec<Held>,
    /// The model after aliases.
    pub model: String,
    /// The model that was asked for.
    pub model_group: String,
    /// The end user on whose behalf, or nothing. Left out where the other names
    /// leave no room for it: then whoever settles tells it.
    pub customer_id: String,
}

/// An amount that accounts hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// How much each of them holds.
    pub amount: Usd,
    /// The accounts, as [`account_tag`]s.
    pub by: Vec<u64>,
}

impl Held {
    /// What accounts hold, those of an amount together.
    pub fn gather<'a>(holds: impl Iterator<Item = (&'a AccountId, Usd)>) -> Vec<Self> {
        let mut all: Vec<Self> = Vec::with_capacity(1);
        for (account, amount) in holds {
            let tag = account_tag(account);
            match all.iter_mut().find(|held| held.amount == amount) {
                Some(held) => held.by.push(tag),
                None => all.push(Self { amount, by: vec![tag] }),
            }
        }
        all
    }
}

impl Ticket {
    /// What an account holds, if it holds anything.
    #[must_use]
    pub fn held_in(&self, account: &AccountId) -> Option<Usd> {
        let tag = account_tag(account);
        self.held.iter().find(|held| held.by.contains(&tag)).map(|held| held.amount)
    }

    /// The ticket as text, signed.
    #[must_use]
    pub fn seal(&self, key: &TicketKey) -> String {
        let mut names = self.names();
        let (mut version, key_id) = match &self.payer {
            Payer::Key(id) => (OF_KEY, &id.0.as_bytes()[..]),
            Payer::Principal(_) => (OF_PRINCIPAL, &[][..]),
        };
        let left = (BYTES_MAX - BYTES_MIN).saturating_sub(key_id.len() + names.len());
        if !self.customer_id.is_empty() && left >= 2 + self.customer_id.len() + 2 * HELD_BYTES + 8 * TAGS_MIN {
            version += WITH_CUSTOMER;
            add_text(&mut names, &self.customer_id);
        }
        let mut room = (BYTES_MAX - BYTES_MIN).saturating_sub(key_id.len() + names.len());
        let mut bytes = Vec::with_capacity(BYTES_MIN + key_id.len() + names.len() + 8 * TAGS_MIN);
        bytes.push(version);
        bytes.extend(self.reservation.as_bytes());
        bytes.extend(key_id);
        bytes.extend(self.caller.to_be_bytes());
        for number in [self.holder, self.authorized_at.micros(), self.expires_at.micros()] {
            bytes.extend(number.to_be_bytes());
        }
        // A call touches a handful of accounts, and those of its labels. What is
        // held in more than there is room for is freed when it expires.
        for Held { amount, by } in &self.held {
            let tags = by.len().min(room.saturating_sub(HELD_BYTES) / 8).min(u8::MAX.into());
            let Some(tags) = u8::try_from(tags).ok().filter(|tags| *tags > 0) else { break };
            room -= HELD_BYTES + 8 * usize::from(tags);
            bytes.push(tags);
            bytes.extend(amount.nanos().to_be_bytes());
            by.iter().take(tags.into()).for_each(|tag| bytes.extend(tag.to_be_bytes()));
        }
        bytes.push(0);
        bytes.extend(names);
        let signature = hmac::sign(&key.0, &bytes);
        bytes.extend(&signature.as_ref()[..SIGNATURE_BYTES]);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    fn names(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(64);
        let mut add = |text: &str| add_text(&mut bytes, text);
        add(&self.model);
        add(if self.model_group == self.model { "" } else { &self.model_group });
        if let Payer::Principal(Principal { user_id, team_id, organization_id }) = &self.payer {
            add(user_id.as_ref().map_or("", UserId::as_str));
            add(team_id.as_ref().map_or("", TeamId::as_str));
            add(organization_id.as_ref().map_or("", OrganizationId::as_str));
        }
        bytes
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
        let [version] = reader.take()?;
        let reservation = Uuid::from_bytes(reader.take()?);
        let names_customer = version > OF_PRINCIPAL;
        let key_id = match if names_customer { version - WITH_CUSTOMER } else { version } {
            OF_KEY => Some(KeyId(Uuid::from_bytes(reader.take()?))),
            OF_PRINCIPAL => None,
            _ => return None,
        };
        let caller = u64::from_be_bytes(reader.take()?);
        let holder = i64::from_be_bytes(reader.take()?);
        let authorized_at = Timestamp::from_micros(i64::from_be_bytes(reader.take()?));
        let expires_at = Timestamp::from_micros(i64::from_be_bytes(reader.take()?));
        let held = reader.held()?;
        let model = reader.text()?;
        let group = reader.text()?;
        let model_group = if group.is_empty() { model.clone() } else { group };
        let payer = match key_id {
            Some(id) => Payer::Key(id),
            None => Payer::Principal(reader.principal()?),
        };
        let customer_id = if names_customer { reader.text()? } else { String::new() };
        Some(Self {
            reservation,
            caller,
            payer,
            holder,
            authorized_at,
            expires_at,
            held,
            model,
            model_group,
            customer_id,
        })
    }
}

fn add_text(bytes: &mut Vec<u8>, text: &str) {
    bytes.extend(u16::try_from(text.len()).unwrap_or(u16::MAX).to_be_bytes());
    bytes.extend(text.as_bytes());
}

/// What is left of a ticket's bytes.
struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*taken)
    }

    fn held(&mut self) -> Option<Vec<Held>> {
        let mut all = Vec::with_capacity(1);
        loop {
            let [tags] = self.take()?;
            if tags == 0 {
                return Some(all);
            }
            let amount = Usd::from_nanos(i64::from_be_bytes(self.take()?));
            let by = (0..tags).map(|_| self.take().map(u64::from_be_bytes)).collect::<Option<_>>()?;
            all.push(Held { amount, by });
        }
    }

    fn text(&mut self) -> Option<String> {
        let length = usize::from(u16::from_be_bytes(self.take()?));
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        String::from_utf8(taken.to_vec()).ok()
    }

    fn principal(&mut self) -> Option<Principal> {
        let mut name = || self.text().map(|text| (!text.is_empty()).then_some(text));
        Some(Principal {
            user_id: name()?.map(UserId::stored),
            team_id: name()?.map(TeamId::stored),
            organization_id: name()?.map(OrganizationId::stored),
        })
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

/// The same for a caller without a key: its tokens change, it does not.
#[must_use]
pub fn principal_tag(issuer: &str, user: Option<&UserId>, team: Option<&TeamId>) -> u64 {
    let names = [issuer, user.map_or("", UserId::as_str), team.map_or("", TeamId::as_str)];
    fold(names.iter().flat_map(|name| name.bytes().chain([0])))
}

/// The same for a gateway that is known by its certificate.
#[must_use]
pub fn gateway_tag(name: &str) -> u64 {
    fold("gateway".bytes().chain([0]).chain(name.bytes()))
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
        let names = ("[a-z/-]{0,512}", "[a-z/-]{500,512}", "[a-z]{0,64}|[a-z]{200,256}");
        let id = || proptest::option::of("[a-z]{1,256}");
        let principal = (id(), id(), id()).prop_map(|(user, team, organization)| {
            Payer::Principal(Principal {
                user_id: user.map(UserId::stored),
                team_id: team.map(TeamId::stored),
                organization_id: organization.map(OrganizationId::stored),
            })
        });
        let payer = prop_oneof![any::<u128>().prop_map(|id| Payer::Key(KeyId(Uuid::from_u128(id)))), principal];
        let by = proptest::collection::vec(any::<u64>(), 1..=200);
        let held = (any::<i64>(), by).prop_map(|(nanos, by)| Held { amount: Usd::from_nanos(nanos), by });
        let held = proptest::collection::vec(held, 0..=2);
        (any::<u128>(), any::<u64>(), any::<i64>(), payer, held, names).prop_map(
            |(id, caller, number, payer, held, (model, model_group, customer_id))| Ticket {
                reservation: Uuid::from_u128(id),
                caller,
                payer,
                holder: number,
                authorized_at: Timestamp::from_micros(number),
                expires_at: Timestamp::from_micros(!number),
                held,
                model,
                model_group,
                customer_id,
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
            let mut opened = Ticket::open(&sealed, &key);
            // As many as there is room for; always those of the payer itself.
            let flat = |held: &[Held]| -> Vec<(Usd, u64)> {
                held.iter().flat_map(|held| held.by.iter().map(|tag| (held.amount, *tag))).collect()
            };
            let held = opened.as_mut().map(|opened| std::mem::replace(&mut opened.held, ticket.held.clone()));
            let (all, found) = (flat(&ticket.held), held.map(|held| flat(&held)).unwrap_or_default());
            let first = ticket.held.first().map_or(0, |held| held.by.len().min(TAGS_MIN));
            prop_assert!(found.len() >= first && found.iter().all(|one| all.contains(one)));
            if let Some(opened) = opened.as_mut().filter(|opened| opened.customer_id.is_empty()) {
                let is_key = matches!(ticket.payer, Payer::Key(_));
                prop_assert!(ticket.customer_id.is_empty() || !is_key, "only the longest of names leave no room");
                opened.customer_id.clone_from(&ticket.customer_id);
            }
            prop_assert_eq!(opened, Some(ticket));
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
