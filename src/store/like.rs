//! Patterns: looking for a part of a text, whatever letters it has.

use sea_orm::sea_query::LikeExpr;

/// A pattern of what has this part.
pub(super) fn part(text: &str) -> LikeExpr {
    LikeExpr::new(format!("%{}%", escaped(text))).escape('\\')
}

/// A pattern of what begins with this text.
pub(super) fn prefix(text: &str) -> LikeExpr {
    LikeExpr::new(format!("{}%", escaped(text))).escape('\\')
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_")
}
