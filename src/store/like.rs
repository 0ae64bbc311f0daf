//! Patterns: looking for a part of a text, whatever letters it has.

use sea_orm::sea_query::{Alias, Expr, ExprTrait, Func, LikeExpr, SimpleExpr};
use sea_orm::{ColumnTrait, Condition};

/// A pattern of what has this part.
pub(super) fn part(text: &str) -> LikeExpr {
    LikeExpr::new(format!("%{}%", escaped(text))).escape('\\')
}

/// A pattern of what begins with this text.
pub(super) fn prefix(text: &str) -> LikeExpr {
    LikeExpr::new(format!("{}%", escaped(text))).escape('\\')
}

/// Whether a text begins with another one, letter by letter.
pub(super) fn begins(text: &SimpleExpr, head: &str) -> Condition {
    // LIKE, which has an index, folds case on SQLite.
    let length = i32::try_from(head.chars().count()).unwrap_or(i32::MAX);
    let exactly = Func::cust(Alias::new("substr")).args([text.clone(), Expr::val(1), Expr::val(length)]);
    Condition::all()
        .add(ExprTrait::like(text.clone(), prefix(head)))
        .add(ExprTrait::eq(SimpleExpr::from(exactly), head))
}

/// A condition on part of a column, without regard to case; `%` and `_` are
/// letters like others. No condition for an empty part.
pub(super) fn contains<C: ColumnTrait>(column: C, text: &str) -> Option<SimpleExpr> {
    if text.is_empty() {
        return None;
    }
    Some(Expr::expr(Func::lower(column.into_expr())).like(part(&text.to_lowercase())))
}

/// Whether an id begins with a text, or a label has it, likewise.
pub(super) fn found<C: ColumnTrait>(id: C, label: C, text: &str) -> Option<Condition> {
    contains(label, text).map(|part| Condition::any().add(part).add(begins(&id.into_expr(), text)))
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_")
}
