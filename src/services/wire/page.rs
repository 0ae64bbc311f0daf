//! Pages: sizes, tokens and orders of lists.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use prost::Message;

use super::faults::Faults;
use crate::domain::reason::Reason;
use crate::services::Ctx;
use crate::store::{Cursor, Order, PageRequest, Seal, SealKey, SortKey};

/// How many items a page has.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sizes {
    /// If the request says nothing.
    pub(crate) default: i32,
    /// At most.
    pub(crate) largest: i32,
}

/// The sizes of every list.
const OF_LISTS: Sizes = Sizes { default: 50, largest: 1_000 };

/// The page fields of a request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked<'a> {
    pub(crate) page_size: i32,
    pub(crate) page_token: &'a str,
    pub(crate) include_total: bool,
}

/// Which list a token belongs to: its RPC and its request without the page
/// fields, as a key that opens no token of another list, filter or order. A
/// token tells nobody what it holds: values of rows that were read, also such
/// as the caller may not see.
pub(crate) struct List(Seal);

impl List {
    /// The list that a request asks for, its page fields emptied.
    pub(crate) fn new(ctx: &Ctx, request: &impl Message) -> Self {
        Self::of_rpc(ctx, ctx.rpc, request)
    }

    /// The list that a request to another RPC would ask for: for its first page.
    pub(crate) fn of_rpc(ctx: &Ctx, rpc: &str, request: &impl Message) -> Self {
        Self::with_key(&ctx.app.seals, rpc, request)
    }

    fn with_key(key: &SealKey, rpc: &str, request: &impl Message) -> Self {
        Self(key.seal_for(&[b"page token", rpc.as_bytes(), &request.encode_to_vec()]))
    }

    fn seal(&self, after: &Cursor) -> Option<String> {
        let sealed = self.0.close(serde_json::to_vec(after).ok()?)?;
        Some(URL_SAFE_NO_PAD.encode(sealed))
    }

    fn open(&self, text: &str) -> Option<Cursor> {
        let opened = self.0.open(URL_SAFE_NO_PAD.decode(text).ok()?)?;
        serde_json::from_slice(&opened).ok()
    }
}

/// Takes the page fields of a request.
pub(crate) fn take(asked: Asked<'_>, list: &List, faults: &mut Faults) -> PageRequest {
    take_sized(asked, OF_LISTS, list, faults)
}

/// Takes the page fields of a request whose pages have sizes of their own.
pub(crate) fn take_sized(asked: Asked<'_>, sizes: Sizes, list: &List, faults: &mut Faults) -> PageRequest {
    if asked.page_size < 0 {
        faults.add("page_size", "must not be negative");
    }
    let size = if asked.page_size == 0 { sizes.default } else { asked.page_size.clamp(1, sizes.largest) };
    let after = after("page_token", asked.page_token, list, faults);
    PageRequest { size: u64::from(size.unsigned_abs()), after, count: asked.include_total }
}

/// Where a list goes on that has no size of its own, from a token in a field of
/// this name.
pub(crate) fn after(field: &str, text: &str, list: &List, faults: &mut Faults) -> Option<Cursor> {
    if text.is_empty() {
        return None;
    }
    let after = list.open(text);
    if after.is_none() {
        let rule = "must be the next_page_token of the same list with the same filters and order";
        faults.add_named(field, Reason::PageTokenInvalid, rule);
    }
    after
}

/// The token of the next page; empty if there is none.
pub(crate) fn token(list: &List, next: Option<Cursor>) -> String {
    // Plain values and a key of the right length: neither can fail.
    next.and_then(|after| list.seal(&after)).unwrap_or_default()
}

/// Takes an order such as `spend desc`; empty is the default.
pub(crate) fn order(text: &str, sortable: &[SortKey], default: Order, faults: &mut Faults) -> Order {
    let mut words = text.split_whitespace();
    let Some(name) = words.next() else { return default };
    let key = sortable.iter().find(|key| key.name == name);
    let descending = match (words.next(), words.next()) {
        (None, _) => Some(false),
        (Some(word), None) if word.eq_ignore_ascii_case("asc") => Some(false),
        (Some(word), None) if word.eq_ignore_ascii_case("desc") => Some(true),
        _ => None,
    };
    if let (Some(key), Some(descending)) = (key, descending) {
        Order { key: *key, descending }
    } else {
        let names = sortable.iter().map(|key| key.name).collect::<Vec<_>>().join(", ");
        faults.add("order_by", format!("must be one of {names}, with \" asc\" or \" desc\""));
        default
    }
}

/// The first column from the largest down: the default of most lists.
pub(crate) const fn newest_first(sortable: &[SortKey]) -> Order {
    Order { key: sortable[0], descending: true }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{CursorKey, sortable};

    fn list(rpc: &str) -> List {
        List::with_key(&SealKey::new(b"a secret"), rpc, &())
    }

    fn asked(page_size: i32, page_token: &str) -> Asked<'_> {
        Asked { page_size, page_token, include_total: false }
    }

    #[test]
    fn sizes_have_a_default_and_are_clamped() {
        let list = list("l");
        for (size, taken) in [(0, 50), (1, 1), (1_000, 1_000), (1_001, 1_000), (i32::MAX, 1_000)] {
            let mut faults = Faults::default();
            assert_eq!(take(asked(size, ""), &list, &mut faults).size, taken);
            assert!(faults.finish().is_ok());
        }
        let mut faults = Faults::default();
        take(asked(-1, ""), &list, &mut faults);
        assert!(faults.finish().is_err());
    }

    #[test]
    fn a_token_fits_its_own_list_only() {
        let cursor = Cursor { key: CursorKey::Int(7), id: "x".to_owned() };
        let list = list("l");
        let text = token(&list, Some(cursor.clone()));
        let mut faults = Faults::default();
        assert_eq!(take(asked(0, &text), &list, &mut faults).after, Some(cursor));
        assert!(faults.finish().is_ok());
        for (foreign, of) in [(text.as_str(), "other"), ("junk", "l"), ("", "l")] {
            let mut faults = Faults::default();
            let after = take(asked(0, foreign), &super::tests::list(of), &mut faults).after;
            assert_eq!((after, faults.finish().is_err()), (None, !foreign.is_empty()), "{foreign}");
        }
    }

    #[test]
    fn orders_are_a_column_and_a_direction() {
        let default = newest_first(&sortable::KEYS);
        let taken = |text: &str| {
            let mut faults = Faults::default();
            let order = order(text, &sortable::KEYS, default, &mut faults);
            faults.finish().ok().map(|()| (order.key.name, order.descending))
        };
        assert_eq!(taken(""), Some(("created_at", true)));
        assert_eq!(taken("spend desc"), Some(("spend", true)));
        assert_eq!(taken("key_alias"), Some(("key_alias", false)));
        assert_eq!(taken("key_alias ASC"), Some(("key_alias", false)));
        for text in ["secret", "spend down", "spend desc desc", "spend;drop"] {
            assert_eq!(taken(text), None, "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn nothing_but_its_own_tokens_opens_a_list(text in "[A-Za-z0-9_-]{0,120}|\\PC{0,40}") {
            proptest::prop_assert!(list("l").open(&text).is_none());
        }

        #[test]
        fn a_token_that_was_touched_opens_nothing(at in 0_usize..60, to in "[A-Za-z0-9_-]") {
            let list = list("l");
            let after = Cursor { key: CursorKey::Int(7), id: "some id".to_owned() };
            let token = list.seal(&after).expect("a token");
            let at = at % token.len();
            let touched = format!("{}{to}{}", &token[..at], &token[at + 1..]);
            let opened = list.open(&touched);
            proptest::prop_assert!(touched == token || opened.is_none());
        }
    }
}
