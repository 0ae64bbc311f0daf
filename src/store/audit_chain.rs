//! Verifying the audit log: is every entry as it was written, and none gone?

use sea_orm::{ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect, Statement};

use super::audit::{hex, parse_hash};
use super::connect::Store;
use super::entity::audit_entries;
use super::error::StoreError;
use super::view::View;
use crate::domain::audit::{CHAIN_START, Entry};
use crate::domain::clock::Timestamp;

/// How many entries are read at a time.
const PAGE: u64 = 1_000;

/// What is wrong with the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuditFault {
    /// Entries are missing before this one, or it stands twice.
    Gap,
    /// The entry, or its link to the one before, is not what was written.
    Changed,
    /// Entries behind the last one are missing: the log's head knows of more.
    CutOff,
}

/// What was verified.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AuditVerification {
    /// How many entries were looked at.
    pub entries: i64,
    /// The first position that is wrong, and what is wrong there.
    pub fault: Option<(i64, AuditFault)>,
}

impl Store {
    /// Hashes every entry between two positions anew, both included, and
    /// compares it with what is stored; without an end up to the log's head, as
    /// it stands at one instant.
    ///
    /// # Errors
    /// [`StoreError`] if the database fails.
    pub async fn verify_audit(&self, first: i64, last: Option<i64>) -> Result<AuditVerification, StoreError> {
        let snapshot = self.snapshot().await?;
        let view = snapshot.view();
        let mut previous = match view.audit_hash(first - 1).await? {
            Some(hash) => hash,
            None if first == 1 => CHAIN_START,
            // There is nothing that the first entry could be compared with.
            None => return Ok(AuditVerification { entries: 0, fault: Some((first - 1, AuditFault::Gap)) }),
        };
        let mut result = AuditVerification::default();
        let mut expected = first;
        loop {
            let rows = view.audit_rows(expected, last).await?;
            if rows.is_empty() {
                break;
            }
            for row in rows {
                if row.sequence != expected {
                    return Ok(AuditVerification { fault: Some((expected, AuditFault::Gap)), ..result });
                }
                let hash = entry(&row).hash(&previous);
                if row.hash != hex(&hash) {
                    return Ok(AuditVerification { fault: Some((expected, AuditFault::Changed)), ..result });
                }
                previous = hash;
                expected += 1;
                result.entries += 1;
            }
        }
        let (head, head_hash) = view.audit_head().await?;
        let is_whole = last.is_some_and(|last| expected > last) || head < first;
        let ends_right = head + 1 == expected && head_hash == hex(&previous);
        if !is_whole && !ends_right {
            result.fault = Some((expected, AuditFault::CutOff));
        }
        Ok(result)
    }
}

impl View<'_> {
    async fn audit_hash(&self, sequence: i64) -> Result<Option<[u8; 32]>, StoreError> {
        let row = audit_entries::Entity::find_by_id(sequence).one(&self.executor()).await?;
        // A hash that is none differs from every other.
        Ok(row.map(|row| parse_hash(&row.hash).unwrap_or([0xff; 32])))
    }

    async fn audit_rows(&self, first: i64, last: Option<i64>) -> Result<Vec<audit_entries::Model>, StoreError> {
        let query = audit_entries::Entity::find()
            .filter(audit_entries::Column::Sequence.gte(first))
            .filter(audit_entries::Column::Sequence.lte(last.unwrap_or(i64::MAX)))
            .order_by_asc(audit_entries::Column::Sequence)
            .limit(PAGE);
        Ok(query.all(&self.executor()).await?)
    }

    async fn audit_head(&self) -> Result<(i64, String), StoreError> {
        let statement = Statement::from_string(self.backend(), "SELECT sequence, hash FROM audit_head WHERE id = 1");
        let head = self.executor().query_one_raw(statement).await?;
        let head = head.ok_or_else(|| StoreError::Broken("the head of the audit log is missing".to_owned()))?;
        Ok((head.try_get("", "sequence")?, head.try_get("", "hash")?))
    }
}

/// An entry as it is hashed.
fn entry(row: &audit_entries::Model) -> Entry<'_> {
    Entry {
        audit_id: &row.audit_id,
        sequence: row.sequence,
        at: Timestamp::from_micros(row.at),
        actor: &row.actor,
        actor_key_id: &row.actor_key_id,
        on_behalf_of: &row.on_behalf_of,
        action: &row.action,
        object_type: &row.object_type,
        object_id: &row.object_id,
        before: &row.before,
        after: &row.after,
        request_id: &row.request_id,
        rpc: &row.rpc,
        team_id: &row.team_id,
        organization_id: &row.organization_id,
    }
}
