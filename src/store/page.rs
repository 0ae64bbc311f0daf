//! Pages: lists that cost the same on the first page and on the last.

use sea_orm::sea_query::{Expr, ExprTrait, SimpleExpr};
use sea_orm::{
    DatabaseExecutor, EntityTrait, FromQueryResult, Order as Direction, PaginatorTrait, QueryFilter, QueryOrder,
    QuerySelect, Select, Value,
};
use serde::{Deserialize, Serialize};

use super::error::StoreError;

/// A column that a list can be ordered by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SortKey {
    /// Its name in `order_by`.
    pub name: &'static str,
    /// Whether its values are text; else they are numbers.
    pub is_text: bool,
    /// Whether it may be absent; then it is last in both directions.
    pub nullable: bool,
}

impl SortKey {
    pub(super) const fn number(name: &'static str) -> Self {
        Self { name, is_text: false, nullable: false }
    }

    pub(super) const fn text(name: &'static str) -> Self {
        Self { name, is_text: true, nullable: false }
    }

    pub(super) const fn or_null(self) -> Self {
        Self { nullable: true, ..self }
    }
}

/// How a list is ordered; the id decides between equals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Order {
    /// By which column.
    pub key: SortKey,
    /// From the largest down.
    pub descending: bool,
}

/// The value of the sorting column in a row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CursorKey {
    /// A number.
    Int(i64),
    /// Text.
    Text(String),
    /// It is absent.
    Null,
}

/// Where a page ended: the last row's place in the order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    /// The value of the sorting column.
    pub key: CursorKey,
    /// The id.
    pub id: String,
}

/// Which page of a list.
#[derive(Clone, Debug)]
pub struct PageRequest {
    /// How many rows.
    pub size: u64,
    /// After which row.
    pub after: Option<Cursor>,
    /// Whether all rows are counted too.
    pub count: bool,
}

/// One page.
#[derive(Clone, Debug)]
pub struct Page<T> {
    /// The rows.
    pub items: Vec<T>,
    /// Where it ended, if there is more.
    pub next: Option<Cursor>,
    /// How many rows there are on all pages, if asked for.
    pub total: Option<i64>,
}

impl<T> Page<T> {
    /// Cuts the one row too many that was read to see whether there is more.
    pub(super) fn cut(mut rows: Vec<T>, size: u64, total: Option<i64>, cursor: impl Fn(&T) -> Cursor) -> Self {
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        let more = rows.len() > size;
        rows.truncate(size);
        let next = rows.last().filter(|_| more).map(cursor);
        Self { items: rows, next, total }
    }

    /// The same page of other things, if each of them can be made.
    pub(super) fn try_map<U, E>(self, convert: impl FnMut(T) -> Result<U, E>) -> Result<Page<U>, E> {
        let items = self.items.into_iter().map(convert).collect::<Result<_, _>>()?;
        Ok(Page { items, next: self.next, total: self.total })
    }

    /// The same page of other things.
    pub fn map<U>(self, convert: impl FnMut(T) -> U) -> Page<U> {
        Page { items: self.items.into_iter().map(convert).collect(), next: self.next, total: self.total }
    }
}

/// How many rows a query has on all pages.
pub(super) async fn count<E>(query: Select<E>, executor: &DatabaseExecutor<'_>) -> Result<i64, StoreError>
where
    E: EntityTrait,
    E::Model: Send + Sync,
{
    Ok(i64::try_from(query.count(executor).await?).unwrap_or(i64::MAX))
}

/// The rows of a page, and one more if there is one. Rows that lack the sorting
/// column come last, by a query of their own: an index finds either kind, and
/// not both by one condition.
pub(super) async fn rows<E, M>(
    query: Select<E>,
    key: &SimpleExpr,
    id: &SimpleExpr,
    order: Order,
    page: &PageRequest,
    executor: &DatabaseExecutor<'_>,
) -> Result<Vec<M>, StoreError>
where
    E: EntityTrait,
    M: FromQueryResult,
{
    if !order.key.nullable {
        return Ok(paginate(query, key, id, order, page).into_model().all(executor).await?);
    }
    let among_absent = page.after.as_ref().filter(|cursor| cursor.key == CursorKey::Null);
    let mut found = Vec::new();
    if among_absent.is_none() {
        let present = query.clone().filter(key.clone().is_not_null());
        found = paginate(present, key, id, order, page).into_model().all(executor).await?;
    }
    let count = u64::try_from(found.len()).unwrap_or(u64::MAX);
    if count <= page.size {
        let rest = PageRequest { size: page.size - count, after: among_absent.cloned(), count: false };
        let absent = paginate(query.filter(key.clone().is_null()), key, id, order, &rest);
        found.extend(absent.into_model().all(executor).await?);
    }
    Ok(found)
}

/// Orders a query, begins it after the page's cursor and ends it one row after
/// its size.
pub(super) fn paginate<S>(mut query: S, key: &SimpleExpr, id: &SimpleExpr, order: Order, page: &PageRequest) -> S
where
    S: QueryFilter + QueryOrder + QuerySelect,
{
    if let Some(cursor) = &page.after {
        query = query.filter(after(key, id, order, cursor));
    }
    let direction = if order.descending { Direction::Desc } else { Direction::Asc };
    let ordered = query.order_by(key.clone(), direction.clone()).order_by(id.clone(), direction);
    ordered.limit(page.size.saturating_add(1))
}

/// The rows behind a cursor.
fn after(key: &SimpleExpr, id: &SimpleExpr, order: Order, cursor: &Cursor) -> SimpleExpr {
    let beyond = |left: SimpleExpr, right: SimpleExpr| if order.descending { left.lt(right) } else { left.gt(right) };
    let value: Value = match &cursor.key {
        CursorKey::Int(number) => (*number).into(),
        CursorKey::Text(text) => text.clone().into(),
        // Among rows that all lack it.
        CursorKey::Null => return beyond(id.clone(), Expr::val(cursor.id.clone())),
    };
    // One comparison of pairs, which an index on the pair answers.
    let pair = Expr::tuple([key.clone(), id.clone()]);
    let last = Expr::tuple([Expr::val(value), Expr::val(cursor.id.clone())]);
    beyond(pair, last)
}
