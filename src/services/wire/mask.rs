//! Masks: which fields an update writes, and which it clears.

use prost_types::FieldMask;

use super::faults::Faults;
use crate::domain::patch::Patch;

/// The fields that an update names.
#[derive(Debug)]
pub(crate) struct Mask<'a>(Option<&'a [String]>);

impl<'a> Mask<'a> {
    /// Takes a mask; its paths must be among the known ones, or below one that
    /// ends in `.*`.
    pub(crate) fn new(mask: Option<&'a FieldMask>, known: &[&str], faults: &mut Faults) -> Self {
        let paths = mask.map(|mask| mask.paths.as_slice()).filter(|paths| !paths.is_empty());
        for path in paths.into_iter().flatten() {
            let is_it = |known: &&str| match known.strip_suffix('*') {
                Some(prefix) => path.strip_prefix(prefix).is_some_and(|rest| !rest.is_empty()),
                None => path == known,
            };
            if !known.iter().any(is_it) {
                faults.add("update_mask", format!("names {path:?}, which can't be updated here"));
            }
        }
        Self(paths)
    }

    /// What the update says about a field. Without a mask it writes what is
    /// present; a field that the mask names and that is absent is cleared.
    pub(crate) fn field<T>(&self, path: &str, value: Option<T>) -> Patch<T> {
        match (self.0, value) {
            (Some(paths), _) if !paths.iter().any(|named| named == path) => Patch::Keep,
            (_, Some(value)) => Patch::Set(value),
            (None, None) => Patch::Keep,
            (Some(_), None) => Patch::Clear,
        }
    }

    /// Whether there is a mask and it names a field.
    pub(crate) fn names(&self, path: &str) -> bool {
        self.0.is_some_and(|paths| paths.iter().any(|named| named == path))
    }

    /// What the update says about a list or map: empty is absent.
    pub(crate) fn list<T>(&self, path: &str, value: T, is_empty: bool) -> Patch<T> {
        self.field(path, (!is_empty).then_some(value))
    }

    /// The parts of the named paths below a prefix such as `metadata.`.
    pub(crate) fn below(&self, prefix: &str) -> impl Iterator<Item = &'a str> {
        self.0.into_iter().flatten().filter_map(move |path| path.strip_prefix(prefix))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn mask(paths: &[&str]) -> FieldMask {
        FieldMask { paths: paths.iter().map(ToString::to_string).collect() }
    }

    #[test]
    fn a_mask_writes_and_clears_what_it_names() {
        let named = mask(&["a", "b"]);
        let mut faults = Faults::default();
        let mask = Mask::new(Some(&named), &["a", "b", "c"], &mut faults);
        assert_eq!(mask.field("a", Some(1)), Patch::Set(1));
        assert_eq!(mask.field::<i32>("b", None), Patch::Clear);
        assert_eq!(mask.field("c", Some(1)), Patch::Keep);
        assert!(faults.finish().is_ok());
    }

    #[test]
    fn without_a_mask_what_is_present_is_written() {
        for absent in [None, Some(&FieldMask::default())] {
            let mut faults = Faults::default();
            let mask = Mask::new(absent, &["a"], &mut faults);
            assert_eq!(mask.field("a", Some(1)), Patch::Set(1));
            assert_eq!(mask.field::<i32>("a", None), Patch::Keep);
        }
    }

    #[test]
    fn unknown_paths_are_refused() {
        let named = mask(&["a", "x", "metadata.k", "metadata."]);
        let mut faults = Faults::default();
        let mask = Mask::new(Some(&named), &["a", "metadata", "metadata.*"], &mut faults);
        assert_eq!(mask.below("metadata.").collect::<Vec<_>>(), ["k", ""]);
        assert_eq!(faults.0.len(), 2);
    }

    proptest! {
        #[test]
        fn whatever_is_named_is_known_or_refused(
            paths in prop::collection::vec("(a|b|metadata|metadata\\.|metadata\\.[a-z.*]{1,4}|\\PC{0,6})", 0..6),
        ) {
            let named = FieldMask { paths: paths.clone() };
            let mut faults = Faults::default();
            let mask = Mask::new(Some(&named), &["a", "b", "metadata", "metadata.*"], &mut faults);
            let is_entry = |path: &str| path.starts_with("metadata.") && path.len() > "metadata.".len();
            let unknown = paths.iter().filter(|path| !["a", "b", "metadata"].contains(&path.as_str()) && !is_entry(path));
            prop_assert_eq!(faults.0.len(), unknown.count());
            for field in ["a", "b"] {
                let writes = paths.is_empty() || paths.iter().any(|path| path == field);
                prop_assert_eq!(mask.field(field, Some(1)), if writes { Patch::Set(1) } else { Patch::Keep });
            }
        }
    }
}
