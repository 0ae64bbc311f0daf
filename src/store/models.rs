//! Models: rows, versions of their prices, and lists of them beside those of
//! the price list.

use std::collections::HashMap;

use sea_orm::sea_query::{
    Alias, Condition, Expr, ExprTrait, Func, Order, Query, SelectStatement, SimpleExpr, UnionType,
};
use sea_orm::{
    ActiveValue::Set, ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect, StatementBuilder,
};

use super::entity::{model_prices, models, prices};
use super::error::{StoreError, one_row};
use super::evictions::Eviction;
use super::json::{from_text, to_text};
use super::like;
use super::page::{Cursor, CursorKey, Page, PageRequest};
use super::tx::Tx;
use super::view::View;
use crate::domain::audit::{Change, ObjectType};
use crate::domain::clock::Timestamp;
use crate::domain::ids::new_uuid;
use crate::domain::model::{AnyModel, ListedModel, Model};
use crate::domain::models::{ALL_PROXY_MODELS, ALL_TEAM_MODELS, ModelList, NO_DEFAULT_MODELS};
use crate::domain::pricing::{ModelPricing, OwnVersion};

/// Where the models of a list come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ModelSource {
    /// Admins registered them.
    Registered,
    /// The price list has them.
    Listed,
}

/// Which models a list shows. Empty filters do not filter.
#[derive(Clone, Debug, Default)]
#[expect(missing_docs, reason = "the fields are those of ListModelsRequest")]
pub struct ModelFilter {
    pub name_contains: String,
    pub provider: String,
    pub access_group: String,
    pub source: Option<ModelSource>,
    /// Exactly this model.
    pub name: Option<String>,
    /// What the caller may see.
    pub visible_to: ModelScope,
}

/// The models that a caller may see.
#[derive(Clone, Debug, Default)]
pub enum ModelScope {
    /// All of them.
    #[default]
    All,
    /// Those that all lists of any of these places let it call.
    Callable(Vec<Vec<ModelList>>),
}

/// A model's place in a list: its name, where it comes from, its deployment.
type Place = (String, i64, String);

/// A registered model comes before that of the price list.
const REGISTERED: i64 = 0;
const LISTED: i64 = 1;

impl View<'_> {
    /// The model registered under a name for a deployment.
    ///
    /// # Errors
    /// [`StoreError`] if the database fails.
    pub async fn find_model(&self, name: &str, deployment: &str) -> Result<Option<Model>, StoreError> {
        let row = models::Entity::find_by_id((name.to_owned(), deployment.to_owned())).one(&self.executor()).await?;
        row.map(to_model).transpose()
    }

    /// One page of models by name.
    ///
    /// # Errors
    /// [`StoreError`] if the database fails.
    pub async fn list_models(
        &self,
        filter: &ModelFilter,
        page: &PageRequest,
        now: Timestamp,
    ) -> Result<Page<AnyModel>, StoreError> {
        let total = if page.count { Some(self.count_models(filter).await?) } else { None };
        let mut query = Query::select();
        query.columns(["name", "rank", "deployment"].map(Alias::new)).from_subquery(both(filter), Alias::new("m"));
        if let Some(Cursor { key: CursorKey::Text(name), id }) = &page.after {
            let (rank, deployment) = id.split_once('/').unwrap_or((id.as_str(), ""));
            let place = Expr::tuple(["name", "rank", "deployment"].map(|column| Expr::col(Alias::new(column))));
            let rank: i64 = rank.parse().unwrap_or(LISTED);
            query.and_where(place.gt(Expr::tuple([Expr::val(name.as_str()), Expr::val(rank), Expr::val(deployment)])));
        }
        for column in ["name", "rank", "deployment"] {
            query.order_by(Alias::new(column), Order::Asc);
        }
        query.limit(page.size.saturating_add(1));
        let statement = StatementBuilder::build(&query, &self.backend());
        let rows = self.executor().query_all_raw(statement).await?;
        let places = rows
            .iter()
            .map(|row| Ok((row.try_get("", "name")?, row.try_get("", "rank")?, row.try_get("", "deployment")?)));
        let places = places.collect::<Result<Vec<Place>, StoreError>>()?;
        let page = Page::cut(places, page.size, total, |(name, rank, deployment)| Cursor {
            key: CursorKey::Text(name.clone()),
            id: format!("{rank}/{deployment}"),
        });
        let mut found = self.models_at(&page.items, now).await?;
        page.try_map(|place| found.remove(&place).ok_or_else(|| StoreError::Broken(format!("model {place:?} is gone"))))
    }

    async fn count_models(&self, filter: &ModelFilter) -> Result<i64, StoreError> {
        let mut query = Query::select();
        query.expr_as(Func::count(Expr::col(Alias::new("name"))), Alias::new("total"));
        query.from_subquery(both(filter), Alias::new("m"));
        let row = self.executor().query_one_raw(StatementBuilder::build(&query, &self.backend())).await?;
        Ok(row.map(|row| row.try_get("", "total")).transpose()?.unwrap_or_default())
    }

    /// What stands at some places of a list.
    async fn models_at(&self, places: &[Place], now: Timestamp) -> Result<HashMap<Place, AnyModel>, StoreError> {
        let names = |wanted: i64| {
            let of = places.iter().filter(move |(_, rank, _)| *rank == wanted);
            of.map(|(name, ..)| name.clone()).collect::<Vec<_>>()
        };
        let registered = models::Entity::find().filter(models::Column::ModelName.is_in(names(REGISTERED)));
        let mut found = HashMap::new();
        for row in registered.all(&self.executor()).await? {
            let model = to_model(row)?;
            let place = (model.model_name.clone(), REGISTERED, model.deployment.clone());
            found.insert(place, AnyModel::Registered(Box::new(model)));
        }
        let listed = prices::Entity::find()
            .filter(prices::Column::Model.is_in(names(LISTED)))
            .filter(prices::Column::ValidFromAt.lte(now.micros()))
            .order_by_asc(prices::Column::ValidFromAt);
        for row in listed.all(&self.executor()).await? {
            let place = (row.model.clone(), LISTED, String::new());
            let created_at = Timestamp::from_micros(row.created_at);
            let model = ListedModel { model_name: row.model, fields: from_text(&row.fields)?, created_at };
            // The latest one stays.
            found.insert(place, AnyModel::Listed(model));
        }
        Ok(found)
    }

    /// Every registered model, as far as its price depends on it.
    pub(super) async fn model_pricings(&self) -> Result<Vec<ModelPricing>, StoreError> {
        let mut versions: HashMap<(String, String), Vec<OwnVersion>> = HashMap::new();
        for row in model_prices::Entity::find().all(&self.executor()).await? {
            let valid_from = Timestamp::from_micros(row.valid_from_at);
            let version = OwnVersion { valid_from, price_id: row.price_id, fields: from_text(&row.fields)? };
            versions.entry((row.model_name, row.deployment)).or_default().push(version);
        }
        let rows = models::Entity::find().all(&self.executor()).await?;
        rows.into_iter()
            .map(|row| {
                let model = to_model(row)?;
                let key = (model.model_name.clone(), model.deployment.clone());
                Ok(ModelPricing {
                    names: model.list_names(),
                    versions: versions.remove(&key).unwrap_or_default(),
                    model_name: model.model_name,
                    deployment: model.deployment,
                    provider: model.provider,
                    access_groups: model.access_groups,
                    batch_discount: model.batch_discount,
                })
            })
            .collect()
    }
}

impl Tx {
    /// Registers a model. Its prices hold since ever, unless there was such a
    /// model before.
    ///
    /// # Errors
    /// [`StoreError::Taken`] if there is one.
    pub async fn insert_model(&mut self, model: &Model) -> Result<(), StoreError> {
        models::Entity::insert(to_row(model)?).exec_without_returning(&self.inner).await?;
        let former = model_prices::Entity::find()
            .filter(model_prices::Column::ModelName.eq(model.model_name.as_str()))
            .filter(model_prices::Column::Deployment.eq(model.deployment.as_str()))
            .limit(1)
            .one(&self.inner)
            .await?;
        let from = if former.is_some() { self.now() } else { Timestamp::EPOCH };
        if former.is_some() || !model.price_fields().is_empty() {
            self.insert_model_prices(model, from).await?;
        }
        self.record_model(Change::created(ObjectType::Model, model.object_id(), model), model);
        Ok(())
    }

    /// Changes a model; `after` gets its new version. Prices change from now on.
    ///
    /// # Errors
    /// [`StoreError::Stale`] if somebody else changed it.
    pub async fn update_model(&mut self, before: &Model, after: &mut Model) -> Result<(), StoreError> {
        let Some(change) = Change::updated(ObjectType::Model, before.object_id(), before, after) else { return Ok(()) };
        after.version = before.version + 1;
        after.updated_at = self.now();
        let updated = models::Entity::update_many()
            .set(to_row(after)?)
            .filter(models::Column::ModelName.eq(before.model_name.as_str()))
            .filter(models::Column::Deployment.eq(before.deployment.as_str()))
            .filter(models::Column::Version.eq(before.version))
            .exec(&self.inner)
            .await?;
        one_row(updated.rows_affected)?;
        if before.price_fields() != after.price_fields() {
            self.insert_model_prices(after, self.now()).await?;
        }
        self.record_model(change, before);
        Ok(())
    }

    /// Deletes all deployments of a model; returns how many there were. The
    /// versions of its prices stay.
    ///
    /// # Errors
    /// [`StoreError`] if the database fails.
    pub async fn delete_model(&mut self, name: &str) -> Result<usize, StoreError> {
        let query = models::Entity::find().filter(models::Column::ModelName.eq(name)).lock_exclusive();
        let rows = query.all(&self.inner).await?;
        models::Entity::delete_many().filter(models::Column::ModelName.eq(name)).exec(&self.inner).await?;
        let count = rows.len();
        for row in rows {
            let model = to_model(row)?;
            self.record_model(Change::deleted(ObjectType::Model, model.object_id(), &model), &model);
        }
        Ok(count)
    }

    /// The same instant again replaces what held from it on.
    async fn insert_model_prices(&mut self, model: &Model, from: Timestamp) -> Result<(), StoreError> {
        use model_prices::Column;
        let versions = || {
            Condition::all()
                .add(Column::ModelName.eq(model.model_name.as_str()))
                .add(Column::Deployment.eq(model.deployment.as_str()))
        };
        let later = model_prices::Entity::find()
            .filter(versions())
            .filter(Column::ValidFromAt.gt(from.micros()))
            .order_by_desc(Column::ValidFromAt)
            .one(&self.inner)
            .await?;
        // A clock that is behind must not put an older version in force.
        let from = later.map_or(from, |later| Timestamp::from_micros(later.valid_from_at + 1));
        model_prices::Entity::delete_many()
            .filter(versions())
            .filter(Column::ValidFromAt.eq(from.micros()))
            .exec(&self.inner)
            .await?;
        let row = model_prices::ActiveModel {
            price_id: Set(new_uuid().to_string()),
            model_name: Set(model.model_name.clone()),
            deployment: Set(model.deployment.clone()),
            valid_from_at: Set(from.micros()),
            fields: Set(to_text(&model.price_fields())?),
            created_at: Set(self.now().micros()),
        };
        model_prices::Entity::insert(row).exec_without_returning(&self.inner).await?;
        Ok(())
    }

    fn record_model(&mut self, change: Change, model: &Model) {
        let names = [("model_name", model.model_name.as_str()), ("deployment", model.deployment.as_str())];
        self.record(change.naming(&names));
        self.evict(Eviction::Prices);
    }
}

/// Registered models and those of the price list, as places of a list.
fn both(filter: &ModelFilter) -> SelectStatement {
    let mut registered = places(filter, "models", "model_name", REGISTERED);
    registered.column(Alias::new("deployment"));
    let mut listed = places(filter, "prices", "model", LISTED);
    listed.expr_as(Expr::val(""), Alias::new("deployment")).distinct();
    match filter.source {
        Some(ModelSource::Registered) => registered,
        Some(ModelSource::Listed) => listed,
        None => registered.union(UnionType::All, listed).to_owned(),
    }
}

fn places(filter: &ModelFilter, table: &'static str, column: &'static str, rank: i64) -> SelectStatement {
    let name = || Expr::col(Alias::new(column));
    let is_registered = rank == REGISTERED;
    let provider = (!filter.provider.is_empty()).then(|| {
        if is_registered {
            Expr::col(Alias::new("provider")).eq(filter.provider.as_str())
        } else {
            let told = serde_json::Value::from(filter.provider.as_str());
            Expr::col(Alias::new("fields")).like(like::part(&format!("\"litellm_provider\":{told}")))
        }
    });
    let group = (!filter.access_group.is_empty()).then(|| in_group(is_registered, &filter.access_group));
    let part = (!filter.name_contains.is_empty()).then(|| {
        let lower = SimpleExpr::from(Func::lower(name()));
        lower.like(like::part(&filter.name_contains.to_lowercase()))
    });
    let visible = match &filter.visible_to {
        ModelScope::All => None,
        ModelScope::Callable(places) => {
            let any = places.iter().fold(Condition::any(), |any, lists| {
                let all = lists.iter().filter(|list| !list.allows_all());
                any.add(all.fold(Condition::all(), |all, list| all.add(callable(list, &name, is_registered))))
            });
            // None at all is nothing, not everything.
            Some(if places.is_empty() { Condition::all().add(Expr::val(1).eq(0)) } else { any })
        }
    };
    let mut query = Query::select();
    query.expr_as(name(), Alias::new("name")).expr_as(Expr::val(rank), Alias::new("rank")).from(Alias::new(table));
    query.cond_where(
        Condition::all()
            .add_option(provider)
            .add_option(group)
            .add_option(part)
            .add_option(filter.name.as_ref().map(|exact| name().eq(exact.as_str())))
            .add_option(visible),
    );
    query
}

/// What a list of models lets be called.
fn callable(list: &ModelList, name: &dyn Fn() -> SimpleExpr, is_registered: bool) -> Condition {
    // An empty `any` would be everything.
    let mut any = Condition::any().add(Expr::val(1).eq(0));
    for entry in list.iter().filter(|entry| ![ALL_PROXY_MODELS, ALL_TEAM_MODELS, NO_DEFAULT_MODELS].contains(entry)) {
        match entry.strip_suffix('*') {
            Some(prefix) => any = any.add(like::begins(&name(), prefix)),
            None => any = any.add(name().eq(entry)).add(in_group(is_registered, entry)),
        }
    }
    any
}

/// Names of groups have no quotes: each stands in the JSON text as it is.
fn in_group(is_registered: bool, group: &str) -> SimpleExpr {
    if is_registered && !group.contains(['"', '\\']) {
        // LIKE folds case on SQLite; without the group the text is another one.
        let groups = || Expr::col(Alias::new("access_groups"));
        let without =
            Func::cust(Alias::new("replace")).args([groups(), Expr::val(format!("\"{group}\"")), Expr::val("")]);
        groups().ne(SimpleExpr::from(without))
    } else {
        Expr::val(1).eq(0)
    }
}

fn to_model(row: models::Model) -> Result<Model, StoreError> {
    Ok(Model {
        model_name: row.model_name,
        deployment: row.deployment,
        provider: row.provider,
        provider_model: row.provider_model,
        base_model: row.base_model,
        access_groups: from_text(&row.access_groups)?,
        prices: from_text(&row.prices)?,
        mode: row.mode,
        max_output_tokens: row.max_output_tokens,
        batch_discount: row.batch_discount,
        multiplier_excludes_cache: row.multiplier_excludes_cache,
        metadata: from_text(&row.metadata)?,
        created_at: Timestamp::from_micros(row.created_at),
        updated_at: Timestamp::from_micros(row.updated_at),
        version: row.version,
    })
}

fn to_row(model: &Model) -> Result<models::ActiveModel, StoreError> {
    Ok(models::ActiveModel {
        model_name: Set(model.model_name.clone()),
        deployment: Set(model.deployment.clone()),
        provider: Set(model.provider.clone()),
        provider_model: Set(model.provider_model.clone()),
        base_model: Set(model.base_model.clone()),
        access_groups: Set(to_text(&model.access_groups)?),
        prices: Set(to_text(&model.prices)?),
        mode: Set(model.mode.clone()),
        max_output_tokens: Set(model.max_output_tokens),
        batch_discount: Set(model.batch_discount),
        multiplier_excludes_cache: Set(model.multiplier_excludes_cache),
        metadata: Set(to_text(&model.metadata)?),
        created_at: Set(model.created_at.micros()),
        updated_at: Set(model.updated_at.micros()),
        version: Set(model.version),
    })
}
