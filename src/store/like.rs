//! Patterns: looking for a part of a text, whatever letters it has.

use sea_orm::sea_query::{Expr, ExprTrait, Func, LikeExpr, SimpleExpr};
use sea_orm::{ColumnTrait, Condition};

/// A pattern of what has this part.
pub(super) fn part(text: &str) -> LikeExpr {
    LikeExpr::new(format!("%{}%", escaped(text))).escape('\\')
}

/// A pattern of what begins with this text.
pub(super) fn prefix(text: &str) -> LikeExpr {
    LikeExpr::new(format!("{}%", escaped(text))).escape('\\')
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
    contains(label, text).map(|part| Condition::any().add(part).add(ExprTrait::like(id.into_expr(), prefix(text))))
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_")
}
