//! Usage added up: the rollups that a report needs, the deltas that are not
//! merged yet and, where no rollup is fine enough, the events themselves. One
//! statement reads all three, so that each call is in exactly one of them.

mod rankings;
mod report;

use sea_orm::sea_query::{Alias, Condition, Expr, ExprTrait, Order, Query, SelectStatement, SimpleExpr, UnionType};
use sea_orm::{ConnectionTrait, FromQueryResult, StatementBuilder};

pub use self::rankings::Ranking;
pub(super) use self::rankings::rank_anew;
use self::report::Report;
pub(super) use self::report::sum;
use super::error::StoreError;
use super::like;
use super::rollup_rows::column_of;
use super::usage::{EventFilter, EventScope};
use super::view::View;
use crate::domain::clock::Timestamp;
use crate::domain::rollup::{Cut, Dimension, Grain, Interval, Source, intervals};

/// Values of a dimension that usage is looked for by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Among {
    /// The dimension.
    pub dimension: Dimension,
    /// Only these; none is all.
    pub ids: Vec<String>,
    /// Not these.
    pub except: Vec<String>,
    /// Whether usage of none of them is left out.
    pub of_some: bool,
}

impl Among {
    /// Everything but the usage of none.
    pub fn some(dimension: Dimension) -> Self {
        Self { dimension, ids: Vec::new(), except: Vec::new(), of_some: true }
    }

    fn condition(&self) -> Condition {
        let column = || named(column_of(self.dimension));
        Condition::all()
            .add_option((!self.ids.is_empty()).then(|| column().is_in(self.ids.iter().map(String::as_str))))
            .add_option((!self.except.is_empty()).then(|| column().is_not_in(self.except.iter().map(String::as_str))))
            .add_option(self.of_some.then(|| column().ne("")))
    }
}

/// Which usage a report adds up.
#[derive(Clone, Debug)]
pub struct UsageFilter {
    /// Which part of the events.
    pub source: Source,
    /// All of these hold.
    pub among: Vec<Among>,
    /// What single calls are looked for by, if they are: then only the events
    /// know.
    pub calls: Option<Box<EventFilter>>,
    /// What the caller may see.
    pub visible_to: EventScope,
}

impl UsageFilter {
    /// All of a part of the events, as far as a caller may see it.
    pub const fn of(source: Source, visible_to: EventScope) -> Self {
        Self { source, among: Vec::new(), calls: None, visible_to }
    }

    /// Only usage of something, if it is named.
    #[must_use]
    pub fn only(mut self, dimension: Dimension, id: Option<impl ToString>) -> Self {
        if let Some(id) = id.map(|id| id.to_string()).filter(|id| !id.is_empty()) {
            self.among.push(Among { dimension, ids: vec![id], except: Vec::new(), of_some: false });
        }
        self
    }

    /// What it is read from: a part of the events, and the coarsest cut that
    /// has what it looks at.
    fn read_from(&self, by: Option<Dimension>) -> (Source, Option<Cut>) {
        if self.calls.is_some() {
            return (self.source, None);
        }
        let mut dimensions = self.visible_to.dimensions().to_vec();
        dimensions.extend(self.among.iter().map(|among| among.dimension));
        dimensions.extend(by);
        // Of one tag each call appears once: as good as the calls themselves.
        let one_tag = |among: &Among| among.dimension == Dimension::Tag && among.ids.len() == 1;
        let tagged = Cut::for_dimensions(Source::Tag, &dimensions);
        if self.source == Source::Call && self.among.iter().any(one_tag) && tagged.is_some() {
            return (Source::Tag, tagged);
        }
        (self.source, Cut::for_dimensions(self.source, &dimensions))
    }
}

/// Usage added up over an interval, and of one value of a dimension.
#[derive(Clone, Debug, PartialEq, Eq, FromQueryResult)]
#[expect(missing_docs, reason = "the fields are those of SpendMetrics")]
pub struct UsageRow {
    /// The first instant of the interval, in microseconds.
    pub at: i64,
    /// The value of the dimension asked for, or nothing.
    pub slice: String,
    pub spent_nanos: i64,
    pub prompt_tokens: i64,
    pub completion_tokens: i64,
    pub cache_read_tokens: i64,
    pub cache_write_tokens: i64,
    pub api_requests: i64,
    pub successful_requests: i64,
    pub failed_requests: i64,
}

/// Which of the largest parts are asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Top {
    /// How many.
    pub size: u64,
    /// Only those after this one: what it spent, in nano-dollars, and its id.
    pub after: Option<(i64, String)>,
}

impl View<'_> {
    /// Usage in each interval between borders and, if asked for, by a
    /// dimension: a row for each that has any.
    ///
    /// # Errors
    /// [`StoreError`] if the database fails.
    pub async fn usage(
        &self,
        filter: &UsageFilter,
        borders: &[Timestamp],
        by: Option<Dimension>,
    ) -> Result<Vec<UsageRow>, StoreError> {
        let report = self.report(filter, &intervals(borders), by).await?;
        self.rows(&report.rows()).await
    }

    /// Usage between two instants by a dimension, the largest spend first, then
    /// by id. Each value is one row.
    ///
    /// # Errors
    /// [`StoreError`] if the database fails.
    pub async fn top_usage(
        &self,
        filter: &UsageFilter,
        between: Interval,
        by: Dimension,
        top: &Top,
    ) -> Result<Vec<UsageRow>, StoreError> {
        let report = self.report(filter, &[between], Some(by)).await?;
        let mut query = report.rows();
        let spent = || report.sum(named("spent_nanos"));
        if let Some((nanos, id)) = &top.after {
            let same = spent().eq(*nanos).and(named("slice").gt(id.as_str()));
            query.cond_having(Condition::any().add(spent().lt(*nanos)).add(same));
        }
        query.order_by_expr(spent(), Order::Desc).order_by(Alias::new("slice"), Order::Asc).limit(top.size);
        self.rows(&query).await
    }

    /// How many values of a dimension there is usage of between two instants.
    ///
    /// # Errors
    /// [`StoreError`] if the database fails.
    pub async fn count_parts(&self, filter: &UsageFilter, between: Interval, by: Dimension) -> Result<i64, StoreError> {
        let report = self.report(filter, &[between], Some(by)).await?;
        let mut query = Query::select();
        query.expr_as(Expr::val(1).count(), Alias::new("parts")).from_subquery(report.rows(), Alias::new("rows"));
        let statement = StatementBuilder::build(&query, &self.backend());
        let row = self.executor().query_one_raw(statement).await?;
        Ok(row.map(|row| row.try_get("", "parts")).transpose()?.unwrap_or_default())
    }

    /// A report, unless it needs events which are no longer kept.
    async fn report<'a>(
        &self,
        filter: &'a UsageFilter,
        intervals: &[Interval],
        by: Option<Dimension>,
    ) -> Result<Report<'a>, StoreError> {
        let report = Report::new(filter, intervals, by, self.backend());
        if let Some(first) = report.first_event()
            && let Some(kept_from) = self.events_gone_until().await?
            && first < kept_from
        {
            return Err(StoreError::EventsGone { kept_from, by_zone: report.has_cut() });
        }
        Ok(report)
    }

    async fn rows<T: FromQueryResult>(&self, query: &SelectStatement) -> Result<Vec<T>, StoreError> {
        let statement = StatementBuilder::build(query, &self.backend());
        Ok(T::find_by_statement(statement).all(&self.executor()).await?)
    }

    /// The values of a dimension that were ever seen, by name.
    ///
    /// # Errors
    /// [`StoreError`] if the database fails.
    pub async fn usage_names(
        &self,
        filter: &UsageFilter,
        by: Dimension,
        prefix: &str,
        after: Option<&str>,
        most: u64,
    ) -> Result<Vec<String>, StoreError> {
        let (source, cut) = filter.read_from(Some(by));
        let cut = cut.ok_or_else(|| StoreError::Broken(format!("no rollup knows all {by:?}")))?;
        let name = || named(column_of(by));
        let wanted = Condition::all()
            .add(name().ne(""))
            .add_option(after.map(|after| name().gt(after)))
            .add_option((!prefix.is_empty()).then(|| name().like(like::prefix(prefix))))
            .add_option(filter.visible_to.condition());
        let mut names = Query::select();
        names.expr_as(name(), Alias::new("name")).from(Alias::new("usage_rollups")).distinct();
        names.and_where(named("cut").eq(cut.as_str())).and_where(named("grain").eq(Grain::Month.as_str()));
        names.cond_where(wanted.clone());
        let mut deltas = Query::select();
        deltas.expr_as(name(), Alias::new("name")).from(Alias::new("usage_deltas"));
        deltas.and_where(named("source").eq(source.as_str())).cond_where(wanted);
        // Each name once.
        names.union(UnionType::Distinct, deltas).order_by(Alias::new("name"), Order::Asc).limit(most);
        let statement = StatementBuilder::build(&names, &self.backend());
        let rows = self.executor().query_all_raw(statement).await?;
        rows.iter().map(|row| Ok(row.try_get("", "name")?)).collect()
    }
}

/// A column that all tables of the query together have once.
fn named(column: &'static str) -> SimpleExpr {
    Expr::col(Alias::new(column))
}
