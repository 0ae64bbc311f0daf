//! A real trace, sent as badly as it can be.

use bursar::pb;
use rust_decimal::Decimal;
use tokio::task::JoinSet;

use crate::support::data::real;
use crate::support::world::{MODEL, World};
use crate::support::{Answer, Client, on_both};

/// Mixes a list; the same way each time.
fn shuffle<T>(list: &mut [T]) {
    let mut state = 0x2545_F491_4F6C_DD1D_u64;
    for index in (1..list.len()).rev() {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        list.swap(index, usize::try_from(state % (index as u64 + 1)).unwrap());
    }
}

on_both! {
    async fn a_trace_that_is_shuffled_and_doubled_by_16_clients_counts_once(world: World) {
        let Some(file) = real("azure_llm_trace_conv.csv") else { return };
        let csv = std::fs::read_to_string(file).unwrap();
        let (secret, key) = world.key(pb::Key::default()).await;
        let (input, output): (Decimal, Decimal) = ("0.0000025".parse().unwrap(), "0.00001".parse().unwrap());
        let mut exact = Decimal::ZERO;
        let mut tokens = 0;
        let mut events: Vec<pb::UsageEvent> = csv.lines().skip(1).enumerate().map(|(number, line)| {
            let mut counts = line.split(',').skip(1).map(|count| count.parse::<i64>().unwrap());
            let (prompt_tokens, completion_tokens) = (counts.next().unwrap(), counts.next().unwrap());
            let cost = Decimal::from(prompt_tokens) * input + Decimal::from(completion_tokens) * output;
            exact += cost.round_dp_with_strategy(9, rust_decimal::RoundingStrategy::MidpointNearestEven);
            tokens += prompt_tokens + completion_tokens;
            pb::UsageEvent { request_id: number.to_string(), key: secret.clone(), model: MODEL.into(), prompt_tokens, completion_tokens, ..Default::default() }
        }).collect();
        let count = i64::try_from(events.len()).unwrap();
        assert_eq!(count, 19_366);
        events.extend(events.clone());
        shuffle(&mut events);
        let mut senders = JoinSet::new();
        for part in events.chunks(events.len().div_ceil(16)) {
            let client = Client::anonymous(world.connect().await).with_key(crate::support::world::MASTER);
            let batches: Vec<Vec<pb::UsageEvent>> = part.chunks(250).map(<[_]>::to_vec).collect();
            senders.spawn(async move {
                let (mut recorded, mut duplicates) = (0, 0);
                for events in batches {
                    let answer = client.spend().record_usage(pb::RecordUsageRequest { events, ..Default::default() }).await.answer();
                    recorded += answer.recorded;
                    duplicates += answer.duplicates;
                }
                (recorded, duplicates)
            });
        }
        let sent = senders.join_all().await;
        let sum = |of: fn(&(i64, i64)) -> i64| sent.iter().map(of).sum::<i64>();
        assert_eq!((sum(|(recorded, _)| *recorded), sum(|(_, duplicates)| *duplicates)), (count, count));
        let total = world.admin.spend().get_total_spend(pb::GetTotalSpendRequest::default()).await.answer();
        let metrics = total.metrics.unwrap();
        assert_eq!((total.spend.parse::<Decimal>().unwrap(), metrics.api_requests, metrics.total_tokens), (exact.normalize(), count, tokens));
        let shown = world.admin.keys().get_key(pb::GetKeyRequest { key: key.key_hash }).await.answer().key.unwrap();
        assert_eq!(shown.spend.unwrap().parse::<Decimal>().unwrap(), exact.normalize());
        assert!(world.store().verify().await.unwrap().discrepancies.is_empty());
    }
}
