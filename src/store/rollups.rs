//! Rollups: reading usage that was added up in advance.

use sea_orm::sea_query::{Alias, CaseStatement, Expr, ExprTrait, Func, SimpleExpr};
use sea_orm::{ColumnTrait, Condition, DbBackend, EntityTrait, FromQueryResult, QueryFilter, QuerySelect};

use super::entity::usage_events;
use super::entity::usage_rollups::{self, Column};
use super::error::StoreError;
use super::usage::EventScope;
use super::view::View;
use crate::domain::clock::Timestamp;
use crate::domain::ids::{KeyId, OrganizationId, TeamId, UserId};
use crate::domain::rollup::{BUCKET_MICROS, Cut, Dimension};
use crate::domain::usage::{CostSource, UsageStatus};

/// The users, teams or organizations that a report is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Among {
    /// Which of them they are.
    pub dimension: Dimension,
    /// Only these; none is all.
    pub ids: Vec<String>,
    /// Not these.
    pub except: Vec<String>,
    /// Whether usage of none of them is left out.
    pub of_some: bool,
}

impl Among {
    /// As a condition on the column that keeps them apart.
    fn condition(&self, column: impl ColumnTrait) -> Condition {
        Condition::all()
            .add_option((!self.ids.is_empty()).then(|| column.is_in(&self.ids)))
            .add_option((!self.except.is_empty()).then(|| column.is_not_in(&self.except)))
            .add_option(self.of_some.then(|| column.ne("")))
    }
}

/// Which usage a report adds up. Empty filters do not filter.
#[derive(Clone, Debug, Default)]
#[expect(missing_docs, reason = "the fields are those of GetDailySpendRequest")]
pub struct RollupFilter {
    /// The first bucket.
    pub from: Timestamp,
    /// The first bucket behind the last.
    pub until: Timestamp,
    pub key_id: Option<KeyId>,
    pub user_id: Option<UserId>,
    pub team_id: Option<TeamId>,
    pub organization_id: Option<OrganizationId>,
    pub model: String,
    pub provider: String,
    /// Whom it is about, if not about everybody.
    pub among: Option<Among>,
    /// What the caller may see.
    pub visible_to: EventScope,
}

impl RollupFilter {
    /// The dimensions that it looks at.
    fn dimensions(&self) -> Vec<Dimension> {
        let mut dimensions = self.visible_to.dimensions().to_vec();
        dimensions.extend(self.among.as_ref().map(|among| among.dimension));
        dimensions.extend(self.key_id.map(|_| Dimension::Key));
        dimensions.extend(self.user_id.as_ref().map(|_| Dimension::User));
        dimensions.extend(self.team_id.as_ref().map(|_| Dimension::Team));
        dimensions.extend(self.organization_id.as_ref().map(|_| Dimension::Organization));
        dimensions
    }
}

/// Usage added up over one bucket.
#[derive(Clone, Debug, PartialEq, Eq, FromQueryResult)]
#[expect(missing_docs, reason = "the fields are those of SpendMetrics")]
pub struct BucketRow {
    /// The bucket's first instant, in microseconds.
    pub bucket_at: i64,
    /// What the row is about: the value of the dimension asked for, or nothing.
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

/// What a row adds up.
const SUMS: [Column; 8] = [
    Column::SpentNanos,
    Column::PromptTokens,
    Column::CompletionTokens,
    Column::CacheReadTokens,
    Column::CacheWriteTokens,
    Column::ApiRequests,
    Column::SuccessfulRequests,
    Column::FailedRequests,
];

impl View<'_> {
    /// Usage by bucket and, if asked for, by a dimension.
    ///
    /// # Errors
    /// [`StoreError`] if the database fails.
    pub async fn usage_by_bucket(
        &self,
        filter: &RollupFilter,
        by: Option<Dimension>,
    ) -> Result<Vec<BucketRow>, StoreError> {
        let mut dimensions = filter.dimensions();
        dimensions.extend(by);
        let cut = Cut::for_dimensions(&dimensions);
        let filled = |column: Column, text: &str| -> Option<SimpleExpr> { (!text.is_empty()).then(|| column.eq(text)) };
        let wanted = Condition::all()
            .add(Column::Cut.eq(cut.as_str()))
            .add(Column::BucketAt.gte(filter.from.micros()))
            .add(Column::BucketAt.lt(filter.until.micros()))
            .add_option(filter.key_id.map(|key| Column::KeyId.eq(key.to_string())))
            .add_option(filter.user_id.as_ref().map(|user| Column::UserId.eq(user.as_str())))
            .add_option(filter.team_id.as_ref().map(|team| Column::TeamId.eq(team.as_str())))
            .add_option(filter.organization_id.as_ref().map(|id| Column::OrganizationId.eq(id.as_str())))
            .add_option(filled(Column::Model, &filter.model))
            .add_option(filled(Column::Provider, &filter.provider))
            .add_option(filter.among.as_ref().map(|among| among.condition(column_of(among.dimension))))
            .add_option(filter.visible_to.condition(
                Column::KeyId,
                Column::UserId,
                Column::TeamId,
                Column::OrganizationId,
            ));
        let slice = match by {
            None => Expr::val(""),
            Some(dimension) => Expr::col(column_of(dimension)),
        };
        let mut query = usage_rollups::Entity::find()
            .select_only()
            .column(Column::BucketAt)
            .expr_as(slice, "slice")
            .filter(wanted)
            .group_by(Column::BucketAt);
        if let Some(dimension) = by {
            query = query.group_by(column_of(dimension));
        }
        for column in SUMS {
            query = query.expr_as(sum(column, self.backend()), sea_orm::Iden::unquoted(&column));
        }
        Ok(query.into_model::<BucketRow>().all(&self.executor()).await?)
    }
}

impl View<'_> {
    /// Usage by quarter of an hour within these buckets, from the events
    /// themselves: for days that begin inside a bucket.
    ///
    /// # Errors
    /// [`StoreError`] if the database fails.
    pub async fn usage_by_quarter_hour(
        &self,
        filter: &RollupFilter,
        buckets: &[Timestamp],
        by: Option<Dimension>,
    ) -> Result<Vec<BucketRow>, StoreError> {
        use usage_events::Column as Of;
        let within = buckets.iter().fold(Condition::any(), |any, bucket| {
            let end = bucket.micros() + BUCKET_MICROS;
            any.add(Condition::all().add(Of::StartedAt.gte(bucket.micros())).add(Of::StartedAt.lt(end)))
        });
        let filled = |column: Of, text: &str| -> Option<SimpleExpr> { (!text.is_empty()).then(|| column.eq(text)) };
        let adjustment: &'static str = CostSource::Adjustment.into();
        let wanted = Condition::all()
            .add(within)
            .add(Of::CostSource.ne(adjustment))
            .add_option(filter.key_id.map(|key| Of::KeyId.eq(key.to_string())))
            .add_option(filter.user_id.as_ref().map(|user| Of::UserId.eq(user.as_str())))
            .add_option(filter.team_id.as_ref().map(|team| Of::TeamId.eq(team.as_str())))
            .add_option(filter.organization_id.as_ref().map(|id| Of::OrganizationId.eq(id.as_str())))
            .add_option(filled(Of::Model, &filter.model))
            .add_option(filled(Of::Provider, &filter.provider))
            .add_option(filter.among.as_ref().map(|among| among.condition(event_column_of(among.dimension))))
            .add_option(filter.visible_to.condition(Of::KeyId, Of::UserId, Of::TeamId, Of::OrganizationId));
        // Whole numbers divide to whole numbers in both databases.
        let quarter = Expr::col(Of::StartedAt).div(QUARTER_MICROS).mul(QUARTER_MICROS);
        let slice = match by {
            None => Expr::val(""),
            Some(dimension) => Expr::col(event_column_of(dimension)),
        };
        let success: &'static str = UsageStatus::Success.into();
        let one_if =
            |condition: SimpleExpr| SimpleExpr::Case(Box::new(CaseStatement::new().case(condition, 1).finally(0)));
        let sums: [(&str, SimpleExpr); 8] = [
            ("spent_nanos", Expr::col(Of::CostNanos)),
            ("prompt_tokens", Expr::col(Of::PromptTokens)),
            ("completion_tokens", Expr::col(Of::CompletionTokens)),
            ("cache_read_tokens", Expr::col(Of::CacheReadTokens)),
            ("cache_write_tokens", Expr::col(Of::CacheWriteTokens)),
            ("api_requests", Expr::val(1)),
            ("successful_requests", one_if(Of::Status.eq(success))),
            ("failed_requests", one_if(Of::Status.ne(success))),
        ];
        let mut query = usage_events::Entity::find().select_only().filter(wanted);
        query = query.expr_as(quarter, "bucket_at").expr_as(slice, "slice");
        for (name, value) in sums {
            query = query.expr_as(sum_of(value, self.backend()), name);
        }
        // By position: the same expression twice would be two parameters, which
        // PostgreSQL can't know to be equal.
        let grouped = query.group_by(Expr::cust("1")).group_by(Expr::cust("2"));
        Ok(grouped.into_model::<BucketRow>().all(&self.executor()).await?)
    }
}

const QUARTER_MICROS: i64 = BUCKET_MICROS / 2;

const fn column_of(dimension: Dimension) -> Column {
    match dimension {
        Dimension::Key => Column::KeyId,
        Dimension::User => Column::UserId,
        Dimension::Team => Column::TeamId,
        Dimension::Organization => Column::OrganizationId,
        Dimension::Model => Column::Model,
        Dimension::Provider => Column::Provider,
    }
}

const fn event_column_of(dimension: Dimension) -> usage_events::Column {
    use usage_events::Column as Of;
    match dimension {
        Dimension::Key => Of::KeyId,
        Dimension::User => Of::UserId,
        Dimension::Team => Of::TeamId,
        Dimension::Organization => Of::OrganizationId,
        Dimension::Model => Of::Model,
        Dimension::Provider => Of::Provider,
    }
}

/// A sum that stays a whole number: PostgreSQL adds 64-bit numbers up to a
/// decimal and fails, as it should, when that does not fit back.
pub(super) fn sum(column: Column, backend: DbBackend) -> SimpleExpr {
    sum_of(Expr::col(column), backend)
}

fn sum_of(value: SimpleExpr, backend: DbBackend) -> SimpleExpr {
    let sum = SimpleExpr::from(Func::sum(value));
    if backend == DbBackend::Postgres { sum.cast_as(Alias::new("bigint")) } else { sum }
}
