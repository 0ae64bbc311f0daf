//! A report as a query.

use std::collections::BTreeSet;

use sea_orm::DbBackend;
use sea_orm::sea_query::{
    Alias, CaseStatement, Condition, Expr, ExprTrait, Func, JoinType, Order, Query, SelectStatement, SimpleExpr,
    UnionType, WindowStatement,
};

use super::super::rollup_rows::{SUMS, column_of};
use super::super::usage;
use super::{UsageFilter, named};
use crate::domain::clock::Timestamp;
use crate::domain::rollup::{Cover, Cut, Dimension, Grain, Interval, Source, Stretch, cover};
use crate::domain::usage::{CostSource, UsageStatus};

/// What a report adds up, and how it is split.
pub(super) struct Report<'a> {
    filter: &'a UsageFilter,
    source: Source,
    cut: Option<Cut>,
    cover: Cover,
    by: Option<Dimension>,
    backend: DbBackend,
}

/// The columns of a list of stretches: both databases call those of values so.
const AT: &str = "column1";
const FROM: &str = "column2";
const UNTIL: &str = "column3";
const SIGN: &str = "column4";

/// Such a list of all stretches, and one of the intervals that they belong to.
const STRETCHES: &str = "stretches";
const INTERVALS: &str = "intervals";

impl<'a> Report<'a> {
    pub(super) fn new(
        filter: &'a UsageFilter,
        intervals: &[Interval],
        by: Option<Dimension>,
        backend: DbBackend,
    ) -> Self {
        let (source, cut) = filter.read_from(by);
        let grains = cut.map(Cut::grains).unwrap_or_default();
        // What no event knows is told apart by half hours.
        let cover = if source.is_of_events() {
            cover(intervals, grains)
        } else {
            let ceil = |(from, until): &Interval| (Grain::HalfHour.ceil(*from), Grain::HalfHour.ceil(*until));
            cover(&intervals.iter().map(ceil).collect::<Vec<_>>(), grains)
        };
        Self { filter, source, cut, cover, by, backend }
    }

    /// The first instant of which events are read, if any are.
    pub(super) fn first_event(&self) -> Option<Timestamp> {
        self.cover.rest.iter().map(|stretch| stretch.from).min()
    }

    /// Whether there are rollups of what is asked for.
    pub(super) const fn has_cut(&self) -> bool {
        self.cut.is_some()
    }

    /// A row for each interval and part in which there were calls.
    pub(super) fn rows(&self) -> SelectStatement {
        let mut query = self.sums(None);
        query.column(Alias::new("at")).group_by_col(Alias::new("at"));
        query
    }

    /// What each part adds up to, in one interval if one is meant.
    fn sums(&self, interval: Option<&SimpleExpr>) -> SelectStatement {
        let mut query = Query::select();
        query.column(Alias::new("slice"));
        for name in SUMS {
            query.expr_as(self.sum(named(name)), Alias::new(name));
        }
        query.from_subquery(self.parts(interval), Alias::new("parts"));
        query.group_by_col(Alias::new("slice"));
        // What was added and taken off again is not there.
        query.and_having(self.sum(named("api_requests")).ne(0));
        query
    }

    /// The largest parts of each interval, and how many parts it has.
    pub(super) fn ranked(&self, most: u64) -> SelectStatement {
        if self.backend == DbBackend::Postgres { self.ranked_one_by_one(most) } else { self.ranked_at_once(most) }
    }

    /// Sorts all parts of all intervals.
    fn ranked_at_once(&self, most: u64) -> SelectStatement {
        let of_interval = || WindowStatement::partition_by(Alias::new("at"));
        let mut by_spend = of_interval();
        by_spend.order_by(Alias::new("spent_nanos"), Order::Desc).order_by(Alias::new("slice"), Order::Asc);
        let mut places = Query::select();
        places.columns(row_columns());
        places.expr_window_as(Func::cust(Alias::new("ROW_NUMBER")), by_spend, Alias::new("place"));
        places.expr_window_as(Func::count(Expr::val(1)), of_interval(), Alias::new("parts"));
        places.from_subquery(self.rows(), Alias::new("rows"));
        let mut query = Query::select();
        query.columns(row_columns()).column(Alias::new("parts")).from_subquery(places, Alias::new("places"));
        query.and_where(named("place").lte(i64::try_from(most).unwrap_or(i64::MAX)));
        query.order_by(Alias::new("at"), Order::Asc).order_by(Alias::new("place"), Order::Asc);
        query
    }

    /// Takes the largest of each interval by itself: half the time for many
    /// intervals of many parts, which are never sorted as a whole. SQLite joins
    /// nothing laterally.
    fn ranked_one_by_one(&self, most: u64) -> SelectStatement {
        let interval = Expr::col((Alias::new(INTERVALS), Alias::new(AT)));
        let mut largest = Query::select();
        largest.columns(part_columns());
        largest.expr_window_as(Func::count(Expr::val(1)), WindowStatement::new(), Alias::new("parts"));
        largest.from_subquery(self.sums(Some(&interval)), Alias::new("rows"));
        largest.order_by(Alias::new("spent_nanos"), Order::Desc).order_by(Alias::new("slice"), Order::Asc).limit(most);
        let mut query = Query::select();
        query.expr_as(interval, Alias::new("at")).columns(part_columns()).column(Alias::new("parts"));
        query.from_values(self.intervals(), Alias::new(INTERVALS));
        query.join_lateral(JoinType::InnerJoin, largest, Alias::new("largest"), Expr::val(true));
        query.order_by(Alias::new("at"), Order::Asc);
        query.order_by(Alias::new("spent_nanos"), Order::Desc).order_by(Alias::new("slice"), Order::Asc);
        query
    }

    /// When the intervals begin of which there may be anything.
    fn intervals(&self) -> Vec<i64> {
        let stretches = self.cover.buckets.iter().map(|(_, of)| of).chain(&self.cover.rest);
        let starts: BTreeSet<i64> = stretches.map(|of| of.at.micros()).collect();
        starts.into_iter().collect()
    }

    /// Everything that it adds up, of one interval if one is meant.
    fn parts(&self, interval: Option<&SimpleExpr>) -> SelectStatement {
        let rollups = self.cut.into_iter().flat_map(|cut| cut.grains().iter().map(move |grain| (cut, *grain)));
        let rollups = rollups.flat_map(|(cut, grain)| self.rollups(cut, grain, interval));
        let mut parts = rollups.chain(self.deltas(interval)).chain(self.events(interval));
        // Of no time there is nothing.
        let mut query = parts.next().unwrap_or_else(|| {
            let mut nothing = Self::select(Expr::val(0), Expr::val(""), &Expr::val(1), SUMS.map(named));
            nothing.from(Alias::new("usage_deltas")).and_where(Expr::val(1).eq(0));
            nothing
        });
        for part in parts {
            query.union(UnionType::All, part);
        }
        query
    }

    /// The rows of one grain: a range for each of a few runs; of many, which the
    /// days of other zones are, whatever a stretch of theirs finds.
    fn rollups(&self, cut: Cut, grain: Grain, interval: Option<&SimpleExpr>) -> Vec<SelectStatement> {
        let of_grain = self.cover.buckets.iter().filter(|(of, _)| *of == grain).map(|(_, stretch)| stretch);
        let runs = runs(grain, of_grain.clone());
        let select = |at: SimpleExpr, sign: &SimpleExpr| {
            let mut query = Self::select(at, self.slice(), sign, SUMS.map(named));
            query.from(Alias::new("usage_rollups")).and_where(named("cut").eq(cut.as_str()));
            query.and_where(named("grain").eq(grain.as_str())).cond_where(self.wanted());
            query
        };
        if runs.len() <= RUNS_MAX {
            let of_run = |run: &Run| {
                let mut query = select(run.belongs.at(), &Expr::val(run.sign));
                query.and_where(named("bucket_at").gte(run.from.micros()));
                query.and_where(named("bucket_at").lt(run.until.micros()));
                query.cond_where(Condition::all().add_option(interval.map(|interval| run.belongs.is(interval))));
                query
            };
            return runs.iter().map(of_run).collect();
        }
        let mut query = select(Expr::col((Alias::new(STRETCHES), Alias::new(AT))), &named(SIGN));
        query.from_values(tuples(of_grain), Alias::new(STRETCHES)).cond_where(within("bucket_at", interval));
        vec![query]
    }

    /// Like the rollups. They are few buckets, added up before they are told
    /// apart by stretches.
    fn deltas(&self, interval: Option<&SimpleExpr>) -> Option<SelectStatement> {
        let stretches = || self.cover.buckets.iter().map(|(_, of)| of);
        let (from, until) = (stretches().map(|of| of.from).min()?, stretches().map(|of| of.until).max()?);
        let mut sums = Query::select();
        sums.column(Alias::new("bucket_at")).expr_as(self.slice(), Alias::new("slice"));
        for name in SUMS {
            sums.expr_as(self.sum(named(name)), Alias::new(name));
        }
        sums.from(Alias::new("usage_deltas")).and_where(named("source").eq(self.source.as_str()));
        sums.and_where(named("bucket_at").gte(from.micros())).and_where(named("bucket_at").lt(until.micros()));
        sums.cond_where(self.wanted());
        // By position, which no column's name can be taken for.
        sums.add_group_by([Expr::cust("1"), Expr::cust("2")]);
        let mut query = Self::select(
            Expr::col((Alias::new(STRETCHES), Alias::new(AT))),
            named("slice"),
            &named(SIGN),
            SUMS.map(named),
        );
        query.from_values(tuples(stretches()), Alias::new(STRETCHES));
        query.from_subquery(sums, Alias::new("deltas")).cond_where(within("bucket_at", interval));
        Some(query)
    }

    fn events(&self, interval: Option<&SimpleExpr>) -> Option<SelectStatement> {
        if self.cover.rest.is_empty() {
            return None;
        }
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
        let mut query =
            Self::select(Expr::col((Alias::new(STRETCHES), Alias::new(AT))), self.slice(), &named(SIGN), values);
        query.from_values(tuples(self.cover.rest.iter()), Alias::new(STRETCHES));
        query.from(Alias::new("usage_events"));
        query.and_where(named("cost_source").ne(adjustment)).cond_where(within("started_at", interval));
        query.cond_where(self.in_rest());
        match self.source {
            Source::Call | Source::Denial => {}
            Source::Failure => {
                query.and_where(named("status").ne(success));
            }
            Source::Tag => self.join_tags(&mut query),
        }
        query.cond_where(self.wanted());
        query.cond_where(Condition::all().add_option(self.filter.calls.as_deref().map(usage::condition)));
        Some(query)
    }

    /// Each event once for each of its tags, or once without any.
    fn join_tags(&self, events: &mut SelectStatement) {
        let mut tags = Query::select();
        tags.expr_as(named("request_id"), Alias::new("tagged_id")).column(Alias::new("tag"));
        tags.from(Alias::new("usage_event_tags")).cond_where(self.in_rest());
        let mut untagged = Query::select();
        untagged.column(Alias::new("request_id")).expr(Expr::val("")).from(Alias::new("usage_events"));
        untagged.cond_where(self.in_rest()).and_where(named("tags").eq("[]"));
        tags.union(UnionType::All, untagged);
        let same = named("tagged_id").equals(Alias::new("request_id"));
        events.join_subquery(JoinType::InnerJoin, tags, Alias::new("tags"), same);
    }

    /// Whether an event lies in any of the stretches that events are read of: by
    /// the instants themselves, which alone lead to partitions and indexes.
    fn in_rest(&self) -> Condition {
        self.cover.rest.iter().fold(Condition::any(), |any, of| {
            let from = named("started_at").gte(of.from.micros());
            any.add(from.and(named("started_at").lt(of.until.micros())))
        })
    }

    /// The part that a row belongs to.
    fn slice(&self) -> SimpleExpr {
        self.by.map_or_else(|| Expr::val(""), |by| named(column_of(by)))
    }

    fn select(at: SimpleExpr, slice: SimpleExpr, sign: &SimpleExpr, values: [SimpleExpr; 8]) -> SelectStatement {
        let mut query = Query::select();
        query.expr_as(at, Alias::new("at")).expr_as(slice, Alias::new("slice"));
        let is_one = *sign == Expr::val(1_i64);
        for (name, value) in SUMS.into_iter().zip(values) {
            query.expr_as(if is_one { value } else { sign.clone().mul(value) }, Alias::new(name));
        }
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

    /// See [`sum`].
    pub(super) fn sum(&self, value: SimpleExpr) -> SimpleExpr {
        sum(value, self.backend)
    }
}

/// A sum of whole numbers that is one, and fails when it does not fit. That of
/// PostgreSQL is our own: its `SUM` of 64-bit numbers is a decimal.
pub(in crate::store) fn sum(value: SimpleExpr, backend: DbBackend) -> SimpleExpr {
    if backend == DbBackend::Postgres {
        return Func::cust(Alias::new("whole_sum")).arg(value).into();
    }
    Func::sum(value).into()
}

/// Stretches in the order of their columns.
fn tuples<'a>(of: impl Iterator<Item = &'a Stretch>) -> Vec<(i64, i64, i64, i64)> {
    of.map(|of| (of.at.micros(), of.from.micros(), of.until.micros(), of.sign)).collect()
}

/// Buckets that follow each other, and the interval that a row of them belongs
/// to.
struct Run {
    from: Timestamp,
    until: Timestamp,
    sign: i64,
    belongs: Belongs,
}

/// How a run's rows say which interval they belong to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Belongs {
    /// All to one, which begins then.
    To(Timestamp),
    /// Each bucket to one of its own, which begins so many microseconds later.
    After(i64),
}

impl Belongs {
    /// Whether a row belongs to this interval.
    fn is(self, interval: &SimpleExpr) -> SimpleExpr {
        match self {
            Self::To(at) => interval.clone().eq(at.micros()),
            // Of the bucket alone, so that an index finds it; and as a range, of which
            // PostgreSQL expects many rows: these it hashes, and does not sort.
            Self::After(micros) => {
                let bucket = interval.clone().sub(micros);
                named("bucket_at").gte(bucket.clone()).and(named("bucket_at").lte(bucket))
            }
        }
    }

    /// The first instant of a row's interval.
    fn at(self) -> SimpleExpr {
        match self {
            Self::To(at) => Expr::val(at.micros()),
            Self::After(micros) => named("bucket_at").add(micros),
        }
    }
}

/// Up to so many runs are read one after the other.
const RUNS_MAX: usize = 8;

/// Stretches that follow each other, joined.
fn runs<'a>(grain: Grain, stretches: impl Iterator<Item = &'a Stretch>) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    for of in stretches {
        let is_one = grain.end(of.from) == of.until;
        let belongs = if is_one { Belongs::After(of.at.micros() - of.from.micros()) } else { Belongs::To(of.at) };
        match runs.last_mut() {
            Some(last) if last.until == of.from && last.sign == of.sign && last.belongs == belongs => {
                last.until = of.until;
            }
            _ => runs.push(Run { from: of.from, until: of.until, sign: of.sign, belongs }),
        }
    }
    runs
}

/// Whether a row lies in a stretch, of one interval if one is meant.
fn within(column: &'static str, interval: Option<&SimpleExpr>) -> Condition {
    let in_stretch = Condition::all().add(named(column).gte(named(FROM))).add(named(column).lt(named(UNTIL)));
    let stretch_at = || Expr::col((Alias::new(STRETCHES), Alias::new(AT)));
    in_stretch.add_option(interval.map(|interval| stretch_at().eq(interval.clone())))
}

/// The columns of a row.
fn row_columns() -> impl Iterator<Item = Alias> {
    std::iter::once(Alias::new("at")).chain(part_columns())
}

/// Those of a part of an interval.
pub(super) fn part_columns() -> impl Iterator<Item = Alias> {
    std::iter::once("slice").chain(SUMS).map(Alias::new)
}
