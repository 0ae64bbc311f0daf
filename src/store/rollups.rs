//! Usage added up: the rollups that a report needs, the deltas that are not
//! merged yet and, where no rollup is fine enough, the events themselves. One
//! statement reads all three, so that each call is in exactly one of them.

use sea_orm::sea_query::{
    Alias, CaseStatement, Condition, Expr, ExprTrait, Func, JoinType, Order, Query, SelectStatement, SimpleExpr,
    UnionType,
};
use sea_orm::{ConnectionTrait, DbBackend, FromQueryResult, StatementBuilder};

use super::error::StoreError;
use super::like;
use super::rollup_rows::{SUMS, column_of};
use super::usage::EventScope;
use super::view::View;
use crate::domain::clock::Timestamp;
use crate::domain::rollup::{Cover, Cut, Dimension, Grain, Source, cover};
use crate::domain::usage::{CostSource, UsageStatus};

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
    /// What the caller may see.
    pub visible_to: EventScope,
}

impl UsageFilter {
    /// All of a part of the events, as far as a caller may see it.
    pub const fn of(source: Source, visible_to: EventScope) -> Self {
        Self { source, among: Vec::new(), visible_to }
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

/// Usage added up over a time, and of one value of a dimension.
#[derive(Clone, Debug, PartialEq, Eq, FromQueryResult)]
#[expect(missing_docs, reason = "the fields are those of SpendMetrics")]
pub struct UsageRow {
    /// An instant of the interval that it belongs to, in microseconds.
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
    /// dimension. There may be several rows of the same, which are to be added.
    ///
    /// # Errors
    /// [`StoreError`] if the database fails.
    pub async fn usage(
        &self,
        filter: &UsageFilter,
        borders: &[Timestamp],
        by: Option<Dimension>,
    ) -> Result<Vec<UsageRow>, StoreError> {
        let report = Report::new(filter, borders, by, self.backend());
        self.check_events(&report).await?;
        let statement = StatementBuilder::build(&report.parts(), &self.backend());
        Ok(UsageRow::find_by_statement(statement).all(&self.executor()).await?)
    }

    /// Usage between two instants by a dimension, the largest spend first, then
    /// by id. Each value is one row.
    ///
    /// # Errors
    /// [`StoreError`] if the database fails.
    pub async fn top_usage(
        &self,
        filter: &UsageFilter,
        (from, until): (Timestamp, Timestamp),
        by: Dimension,
        top: &Top,
    ) -> Result<Vec<UsageRow>, StoreError> {
        let report = Report::new(filter, &[], Some(by), self.backend());
        let report = Report { borders: &[from, until], cover: report.covering(&[from, until]), ..report };
        self.check_events(&report).await?;
        let mut query = Query::select();
        query.expr_as(Expr::val(from.micros()), Alias::new("at")).column(Alias::new("slice"));
        for name in SUMS {
            query.expr_as(report.sum(named(name)), Alias::new(name));
        }
        query.from_subquery(report.parts(), Alias::new("parts")).group_by_col(Alias::new("slice"));
        let spent = || report.sum(named("spent_nanos"));
        if let Some((nanos, id)) = &top.after {
            let same = spent().eq(*nanos).and(named("slice").gt(id.as_str()));
            query.cond_having(Condition::any().add(spent().lt(*nanos)).add(same));
        }
        query.order_by_expr(spent(), Order::Desc).order_by(Alias::new("slice"), Order::Asc).limit(top.size);
        let statement = StatementBuilder::build(&query, &self.backend());
        Ok(UsageRow::find_by_statement(statement).all(&self.executor()).await?)
    }
}

impl View<'_> {
    /// Refuses a report that needs events which are no longer kept.
    async fn check_events(&self, report: &Report<'_>) -> Result<(), StoreError> {
        let Some(first) = report.cover.rest.iter().map(|(from, _)| *from).min() else { return Ok(()) };
        match self.events_gone_until().await? {
            Some(kept_from) if first < kept_from => {
                Err(StoreError::EventsGone { kept_from, by_zone: report.cut.is_some() })
            }
            _ => Ok(()),
        }
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
        names.and_where(named("cut").eq(cut.as_str())).and_where(named("grain").eq(Grain::Span.as_str()));
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

/// Up to so many intervals are told apart in the query; more are told apart by
/// their buckets.
const TOLD_APART: usize = 20;

/// A quarter of an hour: no day begins within one.
const QUARTER_MICROS: i64 = Grain::HalfHour.micros() / 2;

/// A report as a query.
struct Report<'a> {
    filter: &'a UsageFilter,
    source: Source,
    cut: Option<Cut>,
    borders: &'a [Timestamp],
    cover: Cover,
    by: Option<Dimension>,
    backend: DbBackend,
}

impl<'a> Report<'a> {
    fn new(filter: &'a UsageFilter, borders: &'a [Timestamp], by: Option<Dimension>, backend: DbBackend) -> Self {
        let (source, cut) = filter.read_from(by);
        let report = Self { filter, source, cut, borders, cover: Cover::default(), by, backend };
        Self { cover: report.covering(borders), ..report }
    }

    /// What makes up these intervals.
    fn covering(&self, borders: &[Timestamp]) -> Cover {
        cover(borders, self.cut.map(Cut::grains).unwrap_or_default())
    }

    /// Everything that it adds up.
    fn parts(&self) -> SelectStatement {
        let parts = [self.rollups(), self.deltas(), self.events()];
        let mut parts = parts.into_iter().flatten();
        // Of no time there is nothing.
        let mut query = parts.next().unwrap_or_else(|| {
            let mut nothing = self.select(named("bucket_at"));
            nothing.from(Alias::new("usage_deltas")).and_where(Expr::val(1).eq(0));
            nothing
        });
        for part in parts {
            query.union(UnionType::All, part);
        }
        query
    }

    fn rollups(&self) -> Option<SelectStatement> {
        let cut = self.cut.filter(|_| !self.cover.stretches.is_empty())?;
        let stretches = self.cover.stretches.iter().fold(Condition::any(), |any, stretch| {
            any.add(named("grain").eq(stretch.grain.as_str()).and(within(stretch.from, stretch.until, "bucket_at")))
        });
        let mut query = self.select(named("bucket_at"));
        query.from(Alias::new("usage_rollups")).and_where(named("cut").eq(cut.as_str()));
        query.cond_where(stretches).cond_where(self.wanted());
        Some(query)
    }

    fn deltas(&self) -> Option<SelectStatement> {
        if self.cover.stretches.is_empty() {
            return None;
        }
        let stretches = self.cover.stretches.iter();
        let times = stretches.fold(Condition::any(), |any, it| any.add(within(it.from, it.until, "bucket_at")));
        let mut query = self.select(named("bucket_at"));
        query.from(Alias::new("usage_deltas")).and_where(named("source").eq(self.source.as_str()));
        query.cond_where(times).cond_where(self.wanted());
        Some(query)
    }

    fn events(&self) -> Option<SelectStatement> {
        if self.cover.rest.is_empty() {
            return None;
        }
        let rest = self.cover.rest.iter();
        let times =
            || rest.clone().fold(Condition::any(), |any, (from, until)| any.add(within(*from, *until, "started_at")));
        let adjustment: &str = CostSource::Adjustment.into();
        let success: &str = UsageStatus::Success.into();
        let one_if = |is_so: SimpleExpr| SimpleExpr::Case(Box::new(CaseStatement::new().case(is_so, 1).finally(0)));
        let values = SUMS.map(|name| match name {
            "spent_nanos" => named("cost_nanos"),
            "api_requests" => Expr::val(1),
            "successful_requests" => one_if(named("status").eq(success)),
            "failed_requests" => one_if(named("status").ne(success)),
            other => named(other),
        });
        // Whole numbers divide to whole numbers in both databases.
        let quarter = named("started_at").div(QUARTER_MICROS).mul(QUARTER_MICROS);
        let mut query = self.select_of(&named("started_at"), quarter, values);
        query.from(Alias::new("usage_events"));
        query.and_where(named("cost_source").ne(adjustment)).cond_where(times());
        match self.source {
            Source::Call => {}
            Source::Failure => {
                query.and_where(named("status").ne(success));
            }
            Source::Tag => {
                let mut tags = Query::select();
                tags.expr_as(named("request_id"), Alias::new("tagged_id")).column(Alias::new("tag"));
                tags.from(Alias::new("usage_event_tags")).cond_where(times());
                let mut untagged = Query::select();
                untagged.column(Alias::new("request_id")).expr(Expr::val("")).from(Alias::new("usage_events"));
                untagged.cond_where(times()).and_where(named("tags").eq("[]"));
                tags.union(UnionType::All, untagged);
                let same = named("tagged_id").equals(Alias::new("request_id"));
                query.join_subquery(JoinType::InnerJoin, tags, Alias::new("tags"), same);
            }
        }
        query.cond_where(self.wanted());
        Some(query)
    }

    /// What a part of it shows, if its columns are named as the sums.
    fn select(&self, time: SimpleExpr) -> SelectStatement {
        self.select_of(&time.clone(), time, SUMS.map(named))
    }

    /// What a part of it shows: `bucket` is the instant shown if there are too
    /// many intervals to tell apart by `time`.
    fn select_of(&self, time: &SimpleExpr, bucket: SimpleExpr, values: [SimpleExpr; 8]) -> SelectStatement {
        let at = match self.borders {
            [first, _] => Expr::val(first.micros()),
            borders if borders.len() <= TOLD_APART => interval_of(time, borders),
            _ => bucket,
        };
        let slice = self.by.map_or_else(|| Expr::val(""), |by| named(column_of(by)));
        let mut query = Query::select();
        query.expr_as(at, Alias::new("at")).expr_as(slice, Alias::new("slice"));
        for (name, value) in SUMS.into_iter().zip(values) {
            query.expr_as(self.sum(value), Alias::new(name));
        }
        // By position: the same expression twice would be two parameters, which
        // PostgreSQL can't know to be equal.
        query.add_group_by([Expr::cust("1"), Expr::cust("2")]);
        query
    }

    /// What is looked for, and what the caller may see of it.
    fn wanted(&self) -> Condition {
        let among = self.filter.among.iter().fold(Condition::all(), |all, among| {
            // An event has several tags; asked for by one it still counts once.
            if among.dimension == Dimension::Tag && self.source != Source::Tag {
                let mut tagged = Query::select();
                tagged.column(Alias::new("request_id")).from(Alias::new("usage_event_tags"));
                tagged.cond_where(among.condition());
                return all.add(named("request_id").in_subquery(tagged));
            }
            all.add(among.condition())
        });
        among.add_option(self.filter.visible_to.condition())
    }

    /// A sum that stays a whole number: PostgreSQL adds 64-bit numbers up to a
    /// decimal and fails, as it should, when that does not fit back.
    fn sum(&self, value: SimpleExpr) -> SimpleExpr {
        sum(value, self.backend)
    }
}

/// See [`Report::sum`].
pub(super) fn sum(value: SimpleExpr, backend: DbBackend) -> SimpleExpr {
    let sum = SimpleExpr::from(Func::sum(value));
    if backend == DbBackend::Postgres { sum.cast_as(Alias::new("bigint")) } else { sum }
}

/// The first instant of the interval in which an instant lies.
fn interval_of(time: &SimpleExpr, borders: &[Timestamp]) -> SimpleExpr {
    let mut found = CaseStatement::new();
    for interval in borders.windows(2) {
        if let [from, until] = interval {
            found = found.case(time.clone().lt(until.micros()), from.micros());
        }
    }
    SimpleExpr::Case(Box::new(found.finally(borders.first().map_or(0, |first| first.micros()))))
}

fn within(from: Timestamp, until: Timestamp, column: &'static str) -> SimpleExpr {
    named(column).gte(from.micros()).and(named(column).lt(until.micros()))
}

/// A column that all tables of the query together have once.
fn named(column: &'static str) -> SimpleExpr {
    Expr::col(Alias::new(column))
}
