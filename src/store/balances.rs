//! Balances: what accounts spent, by window.

use std::collections::HashMap;

use sea_orm::sea_query::{Alias, Expr, ExprTrait, Func, IntoCondition, Query, SelectStatement, SimpleExpr};
use sea_orm::{
    ColumnTrait, Condition, DbErr, EntityTrait, FromQueryResult, Order as Direction, QueryFilter, QueryOrder,
    QueryResult, QuerySelect, Select,
};

use super::entity::balances;
use super::error::StoreError;
use super::page::{Cursor, CursorKey, Order, Page, PageRequest, SortKey, count, paginate};
use super::view::View;
use crate::domain::account::{AccountId, Scope};
use crate::domain::clock::Timestamp;
use crate::domain::money::Usd;
use crate::domain::window::Window;

/// An account's window, by its start.
pub type BalanceKey = (AccountId, Timestamp);

/// The end of a window that has none.
pub(super) const OPEN_END: i64 = i64::MAX;

/// How many accounts one query asks for.
const CHUNK: usize = 300;

/// What an account spent in one window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Balance {
    /// The sum of the events.
    pub spent: Usd,
    /// Counts the writes: of two readings the one with more is newer.
    pub revision: i64,
}

/// What is shown of an object's spend.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spend {
    /// In the current window.
    pub window: Usd,
    /// Of a user: in the current window, by keys without a team.
    pub personal: Usd,
    /// Ever.
    pub lifetime: Usd,
    /// When the last event was committed.
    pub last_used_at: Option<Timestamp>,
}

impl View<'_> {
    /// What these accounts spent in these windows; what has no row spent
    /// nothing and is left out.
    ///
    /// # Errors
    /// [`StoreError`] if the database fails.
    pub async fn balances(&self, keys: &[BalanceKey]) -> Result<HashMap<BalanceKey, Balance>, StoreError> {
        let mut found = HashMap::with_capacity(keys.len());
        for chunk in keys.chunks(CHUNK) {
            let wanted =
                chunk.iter().fold(Condition::any(), |any, (account, start)| any.add(is_window(account, *start)));
            for row in balances::Entity::find().filter(wanted).all(&self.executor()).await? {
                found
                    .insert(key_of(&row)?, Balance { spent: Usd::from_nanos(row.spent_nanos), revision: row.revision });
            }
        }
        Ok(found)
    }
}

/// What an account spent in a window that is, or was, open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PastWindow {
    /// The account.
    pub account: AccountId,
    /// The window; that of its whole life begins at [`Timestamp::EPOCH`].
    pub window: Window,
    /// What was spent in it.
    pub spent: Usd,
    /// When an event was last committed there.
    pub used_at: Option<Timestamp>,
}

/// Windows are listed by when they began, the last first.
const LATEST_FIRST: Order = Order { key: SortKey::number("window_start_at"), descending: true };

impl View<'_> {
    /// One page of the windows in which these accounts spent something, the last
    /// first.
    ///
    /// # Errors
    /// [`StoreError`] if the database fails.
    pub async fn list_windows(
        &self,
        accounts: &[AccountId],
        page: &PageRequest,
    ) -> Result<Page<PastWindow>, StoreError> {
        use balances::Column;
        if accounts.is_empty() {
            return Ok(Page { items: Vec::new(), next: None, total: page.count.then_some(0) });
        }
        let is = |account: &AccountId| Column::Scope.eq(account.scope().as_str()).and(Column::Name.eq(account.name()));
        let any = accounts.iter().fold(Condition::any(), |any, account| any.add(is(account)));
        // Rows that only were locked, or held room, tell nothing.
        let is_used = Column::SpentNanos.ne(0).or(Column::UsedAt.gt(0));
        let query = balances::Entity::find().filter(any).filter(is_used);
        let total = if page.count { Some(count(query.clone(), &self.executor()).await?) } else { None };
        let (start, name) = (Expr::col(Column::WindowStartAt), Expr::col(Column::Name));
        let rows = paginate(query, &start, &name, LATEST_FIRST, page).all(&self.executor()).await?;
        let page = Page::cut(rows, page.size, total, |row| Cursor {
            key: CursorKey::Int(row.window_start_at),
            id: row.name.clone(),
        });
        page.try_map(|row| {
            let (account, start) = key_of(&row)?;
            let end = (row.window_end_at != OPEN_END).then(|| Timestamp::from_micros(row.window_end_at));
            let used_at = (row.used_at > 0).then(|| Timestamp::from_micros(row.used_at));
            Ok(PastWindow { account, window: Window { start, end }, spent: Usd::from_nanos(row.spent_nanos), used_at })
        })
    }
}

impl View<'_> {
    /// The accounts of a kind that ever spent anything, by name; only those
    /// after this one.
    ///
    /// # Errors
    /// [`StoreError`] if the database fails.
    pub async fn accounts_with_spend(
        &self,
        scope: Scope,
        after: Option<&AccountId>,
        most: u64,
    ) -> Result<Vec<AccountId>, StoreError> {
        use balances::Column;
        let names: Vec<String> = balances::Entity::find()
            .select_only()
            .column(Column::Name)
            .filter(Column::Scope.eq(scope.as_str()))
            .filter(Column::WindowStartAt.eq(Timestamp::EPOCH.micros()))
            .filter(Column::SpentNanos.ne(0))
            .filter(Condition::all().add_option(after.map(|after| Column::Name.gt(after.name()))))
            .order_by_asc(Column::Name)
            .limit(most)
            .into_tuple()
            .all(&self.executor())
            .await?;
        Ok(names.into_iter().map(|name| AccountId::stored(scope, name)).collect())
    }
}

pub(super) fn is_window(account: &AccountId, start: Timestamp) -> Condition {
    balances::Column::Scope
        .eq(account.scope().as_str())
        .and(balances::Column::Name.eq(account.name()))
        .and(balances::Column::WindowStartAt.eq(start.micros()))
        .into_condition()
}

fn key_of(row: &balances::Model) -> Result<BalanceKey, StoreError> {
    let scope: Scope = super::json::word(&row.scope)?;
    Ok((AccountId::stored(scope, row.name.as_str()), Timestamp::from_micros(row.window_start_at)))
}

/// A row of an object that spends, with what it spent.
pub(super) struct WithSpend<M> {
    pub(super) row: M,
    spend: Spend,
    sort_text: Option<String>,
    sort_number: Option<i64>,
}

impl<M> WithSpend<M> {
    pub(super) const fn spend(&self) -> Spend {
        self.spend
    }

    /// The value that the row is sorted by.
    pub(super) fn sort_key(&self, key: SortKey) -> CursorKey {
        let text = self.sort_text.clone().map(CursorKey::Text);
        let number = self.sort_number.map(CursorKey::Int);
        if key.is_text { text } else { number }.unwrap_or(CursorKey::Null)
    }
}

impl<M: FromQueryResult> FromQueryResult for WithSpend<M> {
    fn from_query_result(result: &QueryResult, prefix: &str) -> Result<Self, DbErr> {
        let nanos = |name| result.try_get(prefix, name).map(Usd::from_nanos);
        let last_used_at: Option<i64> = result.try_get(prefix, "last_used_micros")?;
        Ok(Self {
            row: M::from_query_result(result, prefix)?,
            spend: Spend {
                window: nanos("window_nanos")?,
                personal: nanos("personal_nanos")?,
                lifetime: nanos("lifetime_nanos")?,
                last_used_at: last_used_at.filter(|at| *at > 0).map(Timestamp::from_micros),
            },
            // Absent where nothing is sorted, and of one of the two types.
            sort_text: result.try_get(prefix, "sort_key").unwrap_or_default(),
            sort_number: result.try_get(prefix, "sort_key").unwrap_or_default(),
        })
    }
}

/// Adds to a query of objects what each of them spent.
pub(super) fn select_with_spend<E: EntityTrait>(
    query: Select<E>,
    scope: Scope,
    table: &'static str,
    id: &'static str,
    now: Timestamp,
) -> Select<E> {
    let lifetime = |column| lifetime_row(scope, table, id, column);
    let zero = |query: SelectStatement| or_zero(query);
    let personal = match scope {
        Scope::User => spend_in_window(Scope::UserPersonal, table, id, now),
        _ => Expr::val(0_i64),
    };
    query
        .expr_as(spend_in_window(scope, table, id, now), "window_nanos")
        .expr_as(personal, "personal_nanos")
        .expr_as(zero(lifetime(balances::Column::SpentNanos)), "lifetime_nanos")
        .expr_as(SimpleExpr::from(lifetime(balances::Column::UsedAt)), "last_used_micros")
}

/// What an object spent in its current window: the last one that began and is
/// not over, since its window length was set.
pub(super) fn spend_in_window(scope: Scope, table: &'static str, id: &'static str, now: Timestamp) -> SimpleExpr {
    let anchor = Expr::col((Alias::new(table), Alias::new("budget_anchor_at")));
    let mut query = rows_of(scope, table, id, balances::Column::SpentNanos);
    query
        .and_where(Expr::col((balances::Entity, balances::Column::WindowStartAt)).gte(anchor))
        .and_where(balances::Column::WindowStartAt.lte(now.micros()))
        .and_where(balances::Column::WindowEndAt.gt(now.micros()))
        .order_by((balances::Entity, balances::Column::WindowStartAt), Direction::Desc)
        .limit(1);
    or_zero(query)
}

/// When an object last caused usage; NULL: never.
pub(super) fn last_used(scope: Scope, table: &'static str, id: &'static str) -> SimpleExpr {
    let used_at = lifetime_row(scope, table, id, balances::Column::UsedAt);
    Func::cust(Alias::new("NULLIF")).arg(SimpleExpr::from(used_at)).arg(0_i64).into()
}

fn lifetime_row(scope: Scope, table: &'static str, id: &'static str, column: balances::Column) -> SelectStatement {
    let mut query = rows_of(scope, table, id, column);
    query.and_where(balances::Column::WindowStartAt.eq(Timestamp::EPOCH.micros()));
    query
}

fn rows_of(scope: Scope, table: &'static str, id: &'static str, column: balances::Column) -> SelectStatement {
    let owner = Expr::col((Alias::new(table), Alias::new(id)));
    Query::select()
        .column((balances::Entity, column))
        .from(balances::Entity)
        .and_where(balances::Column::Scope.eq(scope.as_str()))
        .and_where(Expr::col((balances::Entity, balances::Column::Name)).eq(owner))
        .to_owned()
}

fn or_zero(query: SelectStatement) -> SimpleExpr {
    Func::coalesce([SimpleExpr::from(query), Expr::val(0_i64)]).into()
}
