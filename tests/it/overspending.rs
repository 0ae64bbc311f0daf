//! No budget is overspent, whatever happens at once and however the clock goes.

use std::collections::{BTreeMap, BTreeSet};

use bursar::domain::money::Usd;
use bursar::pb;
use pb::BudgetScope;
use tokio::task::JoinSet;
use tonic::Status;

use crate::gateway::{ask, authorize};
use crate::support::{Answer, Backend, Client, Dice, World, on_both, reason_of};

/// What a prompt token of the model costs, in nano-dollars.
const NANOS_PER_TOKEN: i64 = 2_500;
/// A hundredth of a dollar, which amounts are multiples of.
const CENT: i64 = 10_000_000;
const ROUNDS: usize = 40;
const AT_ONCE: usize = 6;

fn nanos(text: &str) -> i64 {
    text.parse::<Usd>().unwrap().nanos()
}

fn dollars(nanos: i64) -> String {
    Usd::from_nanos(nanos).to_string()
}

/// A reservation as the test remembers it.
#[derive(Clone)]
struct Reserved {
    client: Client,
    id: String,
    amount: i64,
    tokens: i64,
    expires_at: i64,
}

/// What is done at once with others.
enum Step {
    Authorize { client: Client, request: pb::AuthorizeRequest, amount: i64, tokens: i64 },
    Extend(Reserved, i64),
    Settle(Reserved),
    Release(Reserved),
}

/// What came of it.
enum Done {
    Reserved(Reserved),
    Extended(String, i64, i64),
    Settled(String, i64),
    Released(String),
    Refused,
}

impl Step {
    fn subject(&self) -> Option<&str> {
        match self {
            Self::Authorize { .. } => None,
            Self::Extend(of, _) | Self::Settle(of) | Self::Release(of) => Some(&of.id),
        }
    }

    async fn run(self) -> Done {
        let seconds = |at: Option<prost_types::Timestamp>| at.unwrap().seconds;
        match self {
            Self::Authorize { client, request, amount, tokens } => {
                let answer = authorize(&client, request).await;
                if answer.decision() == pb::Decision::Deny {
                    return Done::Refused;
                }
                let expires_at = seconds(answer.reservation_expires_at);
                Done::Reserved(Reserved { client, id: answer.reservation_id, amount, tokens, expires_at })
            }
            Self::Extend(of, more) => {
                let request = pb::ExtendRequest {
                    reservation_id: of.id.clone(),
                    additional_cost: Some(dollars(more)),
                    ..Default::default()
                };
                match of.client.gateway().extend(request).await {
                    Ok(answer) => Done::Extended(of.id, more, seconds(answer.into_inner().reservation_expires_at)),
                    Err(status) => refused_extension(&status),
                }
            }
            Self::Settle(of) => {
                let usage = pb::UsageEvent { prompt_tokens: of.tokens, ..Default::default() };
                let request = pb::SettleRequest { reservation_id: of.id.clone(), usage: Some(usage) };
                Done::Settled(of.id, nanos(&of.client.gateway().settle(request).await.answer().cost))
            }
            Self::Release(of) => {
                let request = pb::ReleaseRequest { reservation_id: of.id.clone() };
                of.client.gateway().release(request).await.answer();
                Done::Released(of.id)
            }
        }
    }
}

fn refused_extension(status: &Status) -> Done {
    let reason = reason_of(status);
    assert!(["BUDGET_EXCEEDED", "RESERVATION_NOT_LIVE"].contains(&reason.as_str()), "{status:?}");
    Done::Refused
}

/// Callers of two keys of a team, on behalf of one customer and under one tag.
struct Scene {
    world: World,
    callers: Vec<Client>,
    secrets: Vec<String>,
    name: String,
    dice: Dice,
    /// Whether calls cost more than was set aside, settle late, and several
    /// things are done to one reservation at once.
    wild: bool,
    open: Vec<Reserved>,
    /// Reservations of which something else may have made an end.
    doubtful: BTreeSet<String>,
    booked: BTreeMap<String, i64>,
    /// What calls may have cost beyond what was set aside for them.
    overrun: i64,
}

impl Scene {
    async fn begin(world: World, seed: u64, wild: bool) -> Self {
        let name = format!("scene-{seed}");
        let budget = |max_budget: &str| pb::Budget {
            max_budget: Some(max_budget.into()),
            budget_duration: Some("1d".into()),
            ..Default::default()
        };
        let daily = Some("1d".to_owned());
        world
            .team(pb::Team {
                team_id: name.clone(),
                max_budget: Some("0.9".into()),
                budget_duration: daily.clone(),
                ..Default::default()
            })
            .await;
        let customer = pb::Customer {
            customer_id: name.clone(),
            max_budget: Some("0.8".into()),
            budget_duration: daily.clone(),
            ..Default::default()
        };
        let request = pb::CreateCustomerRequest { customer: Some(customer), ..Default::default() };
        world.admin.customers().create_customer(request).await.answer();
        let tag =
            pb::SetScopeBudgetRequest { scope: BudgetScope::Tag.into(), id: name.clone(), budget: Some(budget("0.7")) };
        world.admin.budgets().set_scope_budget(tag).await.answer();
        let (mut callers, mut secrets) = (Vec::new(), Vec::new());
        for _ in 0..2 {
            let key = pb::Key {
                team_id: Some(name.clone()),
                max_budget: Some("0.5".into()),
                budget_duration: daily.clone(),
                ..Default::default()
            };
            let secret = world.key(key).await.0;
            callers.push(world.with_key(&secret));
            secrets.push(secret);
        }
        let (open, doubtful, booked) = (Vec::new(), BTreeSet::new(), BTreeMap::new());
        Self { world, callers, secrets, name, dice: Dice(seed), wild, open, doubtful, booked, overrun: 0 }
    }

    fn now(&self) -> i64 {
        self.world.hands().now().micros() / 1_000_000
    }

    fn call(&self, request_id: &str, cost: i64) -> pb::AuthorizeRequest {
        pb::AuthorizeRequest {
            customer_id: self.name.clone(),
            tags: vec![self.name.clone()],
            ..ask(request_id, &dollars(cost))
        }
    }

    fn step(&mut self, number: usize) -> Step {
        let subject = (!self.open.is_empty()).then(|| self.open[self.dice.roll(self.open.len())].clone());
        let amount = CENT * i64::try_from(1 + self.dice.roll(12)).unwrap();
        match (self.dice.roll(8), subject) {
            (4, Some(of)) => Step::Extend(of, amount),
            (5 | 6, Some(of)) => Step::Settle(of),
            (7, Some(of)) => Step::Release(of),
            _ => {
                let client = self.callers[self.dice.roll(2)].clone();
                let share = self.dice.roll(if self.wild { 8 } else { 5 });
                let tokens = amount / NANOS_PER_TOKEN * i64::try_from(share).unwrap() / 4;
                let request = self.call(&format!("{}-{number}", self.name), amount);
                Step::Authorize { client, request, amount, tokens }
            }
        }
    }

    /// Does some things at once.
    async fn round(&mut self, round: usize) {
        let mut running = JoinSet::new();
        let mut subjects = BTreeSet::new();
        for place in 0..AT_ONCE {
            let step = self.step(round * AT_ONCE + place);
            if let Some(id) = step.subject().map(str::to_owned)
                && !subjects.insert(id.clone())
            {
                if !self.wild {
                    continue;
                }
                self.doubtful.insert(id);
            }
            running.spawn(step.run());
        }
        for done in running.join_all().await {
            self.take(done);
        }
    }

    fn take(&mut self, done: Done) {
        match done {
            Done::Refused => {}
            Done::Reserved(reserved) => self.open.push(reserved),
            Done::Extended(id, more, expires_at) => {
                for of in self.open.iter_mut().filter(|of| of.id == id) {
                    of.amount += more;
                    of.expires_at = expires_at;
                }
            }
            Done::Settled(id, cost) => {
                let before = self.booked.insert(id.clone(), cost);
                assert!(before.is_none_or(|before| before == cost), "one call has one cost");
                let set_aside = self.open.iter().find(|of| of.id == id && !self.doubtful.contains(&id));
                let beyond = set_aside.map_or(cost, |of| (cost - of.amount).max(0));
                self.overrun += if before.is_none() { beyond } else { 0 };
                self.end(&id);
            }
            Done::Released(id) => self.end(&id),
        }
    }

    /// Something made an end of it: in a wild scene it is used all the same.
    fn end(&mut self, id: &str) {
        self.doubtful.insert(id.to_owned());
        self.open.retain(|of| of.id != id || (self.wild && self.dice.roll(4) == 0));
    }

    /// Time goes by, or back.
    fn turn_clock(&mut self) {
        let seconds = match self.dice.roll(12) {
            0 => 700,
            1 => 7_200,
            2 => -400,
            3 => -5_000,
            other => i64::try_from(other).unwrap(),
        };
        self.world.hands().advance(seconds);
        let now = self.now();
        let late = self.open.iter().filter(|of| of.expires_at <= now).map(|of| of.id.clone());
        self.doubtful.extend(late);
        if !self.wild {
            self.open.retain(|of| !self.doubtful.contains(&of.id));
        }
    }

    /// What every budget of each caller has.
    async fn budgets(&self) -> Vec<pb::BudgetStatus> {
        let mut found = Vec::new();
        for secret in &self.secrets {
            let asked = pb::AuthorizeRequest { key: secret.clone(), reserve: false, ..self.call("", 0) };
            let budgets = authorize(&self.world.admin, asked).await.budgets;
            let scopes: BTreeSet<BudgetScope> = budgets.iter().map(pb::BudgetStatus::scope).collect();
            let all = [BudgetScope::Key, BudgetScope::Team, BudgetScope::Tag, BudgetScope::Customer];
            assert_eq!(scopes, BTreeSet::from(all));
            found.extend(budgets);
        }
        found
    }

    async fn check(&self) {
        for budget in self.budgets().await {
            let taken = nanos(&budget.spend) + nanos(&budget.reserved);
            let may = nanos(budget.max_budget.as_ref().unwrap()) + self.overrun;
            assert!(taken <= may, "overspent beyond {}: {budget:?}", dollars(self.overrun));
        }
    }

    /// Plays it to its end; by then nothing is reserved, and all is counted once.
    async fn play(mut self) -> World {
        for round in 0..ROUNDS {
            self.round(round).await;
            self.check().await;
            self.turn_clock();
            self.check().await;
        }
        // Beyond the latest instant that there was.
        self.world.hands().advance(200_000);
        for budget in self.budgets().await {
            assert_eq!((budget.reserved.as_str(), budget.spend.as_str()), ("0", "0"), "{budget:?}");
        }
        let request = pb::GetCustomerRequest { customer_id: self.name.clone() };
        let customer = self.world.admin.customers().get_customer(request).await.answer().customer.unwrap();
        assert!(self.booked.len() > ROUNDS / 4, "calls were made: {}", self.booked.len());
        assert_eq!(nanos(&customer.lifetime_spend), self.booked.values().sum::<i64>());
        self.world
    }
}

on_both! {
    async fn whatever_happens_at_once_every_budget_holds(backend: Backend) {
        let mut world = World::builder(backend).at("2025-06-10T20:00:00Z").start().await;
        for seed in 0..6 {
            world = Scene::begin(world, seed, seed % 2 == 1).await.play().await;
        }
        assert!(world.store().verify().await.unwrap().discrepancies.is_empty());
    }

    async fn of_1000_callers_under_six_budgets_with_room_for_100_exactly_100_pass(world: World) {
        let max_budget = Some("1".to_owned());
        world.organization(pb::Organization { organization_id: "acme".into(), max_budget: max_budget.clone(), ..Default::default() }).await;
        let alice = pb::CreateUserRequest {
            user: Some(pb::User { user_id: "alice".into(), ..Default::default() }), organization_ids: vec!["acme".into()], ..Default::default()
        };
        world.admin.users().create_user(alice).await.answer();
        let members = vec![pb::TeamMember { user_id: "alice".into(), max_budget_in_team: max_budget.clone(), ..Default::default() }];
        let team = pb::Team { team_id: "red".into(), organization_id: Some("acme".into()), max_budget: max_budget.clone(), members, ..Default::default() };
        world.team(team).await;
        let customer = pb::Customer { customer_id: "c".into(), max_budget: max_budget.clone(), ..Default::default() };
        world.admin.customers().create_customer(pb::CreateCustomerRequest { customer: Some(customer), ..Default::default() }).await.answer();
        let everything = pb::SetScopeBudgetRequest {
            scope: BudgetScope::Global.into(), budget: Some(pb::Budget { max_budget: max_budget.clone(), ..Default::default() }), ..Default::default()
        };
        world.admin.budgets().set_scope_budget(everything).await.answer();
        let key = pb::Key { user_id: Some("alice".into()), team_id: Some("red".into()), max_budget, ..Default::default() };
        let (secret, _) = world.key(key).await;
        let mut callers = JoinSet::new();
        let mut channels = Vec::new();
        for _ in 0..8 {
            channels.push(world.connect().await);
        }
        for number in 0..1_000 {
            let client = Client::anonymous(channels[number % 8].clone()).with_key(&secret);
            let request = pb::AuthorizeRequest { customer_id: "c".into(), ..ask(&number.to_string(), "0.01") };
            callers.spawn(async move { (authorize(&client, request).await, client) });
        }
        let answers = callers.join_all().await;
        let passed: Vec<_> = answers.into_iter().filter(|(answer, _)| answer.decision() == pb::Decision::Allow).collect();
        assert_eq!(passed.len(), 100);
        let mut settling = JoinSet::new();
        for (answer, client) in passed {
            settling.spawn(async move { crate::gateway::settle(&client, &answer.reservation_id, CENT / NANOS_PER_TOKEN).await });
        }
        settling.join_all().await;
        let looks = pb::AuthorizeRequest { key: secret, customer_id: "c".into(), reserve: false, ..ask("", "0") };
        let budgets = authorize(&world.admin, looks).await.budgets;
        let limited: Vec<_> = budgets.iter().filter(|budget| budget.max_budget.is_some()).collect();
        assert_eq!(limited.len(), 6);
        for budget in limited {
            assert_eq!((budget.spend.as_str(), budget.reserved.as_str()), ("1", "0"), "{budget:?}");
        }
        assert!(world.store().verify().await.unwrap().discrepancies.is_empty());
    }
}
