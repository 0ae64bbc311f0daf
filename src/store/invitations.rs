//! Invitations: rows, reads and changes.

use sea_orm::sea_query::Expr;
use sea_orm::{
    ActiveValue::Set, ColumnTrait, Condition, EntityTrait, QueryFilter, QueryOrder, QuerySelect, QueryTrait,
};

use super::entity::invitations::{self, Column};
use super::entity::users;
use super::error::{StoreError, one_row};
use super::json::word;
use super::page::{Cursor, CursorKey, Order, Page, PageRequest, SortKey, count, paginate};
use super::reach;
use super::tx::Tx;
use super::view::View;
use crate::domain::audit::{Action, Change, ObjectType};
use crate::domain::clock::Timestamp;
use crate::domain::ids::UserId;
use crate::domain::invitation::{Invitation, InvitationMail, InvitationState};
use crate::domain::user::Email;

/// Invitations are listed by when they were made, the last first.
const LATEST_FIRST: Order = Order { key: SortKey::number("created_at"), descending: true };

/// Which invitations a list shows. Empty filters do not filter.
#[derive(Clone, Debug, Default)]
#[expect(missing_docs, reason = "the fields are those of ListInvitationsRequest")]
pub struct InvitationFilter {
    pub user_id: Option<UserId>,
    pub state: Option<InvitationState>,
    /// Only of users whose home this user administers.
    pub visible_to: Option<UserId>,
}

impl View<'_> {
    /// The invitation with an id.
    ///
    /// # Errors
    /// [`StoreError`] if the database fails.
    pub async fn find_invitation(&self, id: &str) -> Result<Option<Invitation>, StoreError> {
        invitations::Entity::find_by_id(id).one(&self.executor()).await?.map(to_invitation).transpose()
    }

    /// The invitation whose token has this hash.
    ///
    /// # Errors
    /// [`StoreError`] if the database fails.
    pub async fn find_invitation_by_token(&self, token_hash: &str) -> Result<Option<Invitation>, StoreError> {
        let query = invitations::Entity::find().filter(Column::TokenHash.eq(token_hash));
        query.one(&self.executor()).await?.map(to_invitation).transpose()
    }

    /// One page of invitations, the last made first.
    ///
    /// # Errors
    /// [`StoreError`] if the database fails.
    pub async fn list_invitations(
        &self,
        filter: &InvitationFilter,
        page: &PageRequest,
        now: Timestamp,
    ) -> Result<Page<Invitation>, StoreError> {
        let at_home = |admin: &UserId| {
            let users = users::Entity::find()
                .select_only()
                .column(users::Column::UserId)
                .filter(users::Column::HomeOrganizationId.in_subquery(reach::organizations_administered(admin)));
            Column::UserId.in_subquery(users.into_query())
        };
        let wanted = Condition::all()
            .add_option(filter.user_id.as_ref().map(|user| Column::UserId.eq(user.as_str())))
            .add_option(filter.state.map(|state| in_state(state, now)))
            .add_option(filter.visible_to.as_ref().map(at_home));
        let query = invitations::Entity::find().filter(wanted);
        let total = if page.count { Some(count(query.clone(), &self.executor()).await?) } else { None };
        let (at, id) = (Expr::col(Column::CreatedAt), Expr::col(Column::InvitationId));
        let rows = paginate(query, &at, &id, LATEST_FIRST, page).all(&self.executor()).await?;
        let page = Page::cut(rows, page.size, total, |row| Cursor {
            key: CursorKey::Int(row.created_at),
            id: row.invitation_id.clone(),
        });
        page.try_map(to_invitation)
    }
}

fn in_state(state: InvitationState, now: Timestamp) -> Condition {
    let waits = || Condition::all().add(Column::AcceptedAt.is_null());
    match state {
        InvitationState::Open => waits().add(Column::ExpiresAt.gt(now.micros())),
        InvitationState::Accepted => Condition::all().add(Column::AcceptedAt.is_not_null()),
        InvitationState::Expired => waits().add(Column::ExpiresAt.lte(now.micros())),
    }
}

impl Tx {
    /// Adds an invitation; its token is kept as a hash only.
    ///
    /// # Errors
    /// [`StoreError`] if the database fails.
    pub async fn insert_invitation(&mut self, invitation: &Invitation, token_hash: String) -> Result<(), StoreError> {
        let row = invitations::ActiveModel {
            invitation_id: Set(invitation.invitation_id.clone()),
            user_id: Set(invitation.user_id.to_string()),
            token_hash: Set(token_hash),
            accepted_at: Set(None),
            expires_at: Set(invitation.expires_at.micros()),
            created_at: Set(invitation.created_at.micros()),
            created_by: Set(invitation.created_by.clone()),
            mail_to: Set(invitation.mail.as_ref().map(|mail| mail.to.to_string())),
            mail_state: Set(invitation.mail.as_ref().map(|mail| <&str>::from(mail.state).to_owned())),
            mail_error: Set(None),
        };
        invitations::Entity::insert(row).exec_without_returning(&self.inner).await?;
        self.record(Change::created(ObjectType::Invitation, &invitation.invitation_id, invitation));
        Ok(())
    }

    /// Locks the invitation whose token has this hash until the end of the
    /// transaction: of two who accept it at once one does.
    ///
    /// # Errors
    /// [`StoreError`] if the database fails.
    pub async fn lock_invitation(&mut self, token_hash: &str) -> Result<Option<Invitation>, StoreError> {
        let query = invitations::Entity::find().filter(Column::TokenHash.eq(token_hash));
        query.lock_exclusive().one(&self.inner).await?.map(to_invitation).transpose()
    }

    /// Marks an invitation as accepted.
    ///
    /// # Errors
    /// [`StoreError::Stale`] if it was accepted, or is gone.
    pub async fn accept_invitation(&mut self, before: &Invitation) -> Result<(), StoreError> {
        let after = Invitation { accepted_at: Some(self.now()), ..before.clone() };
        let updated = invitations::Entity::update_many()
            .col_expr(Column::AcceptedAt, Expr::value(after.accepted_at.map(Timestamp::micros)))
            .filter(Column::InvitationId.eq(before.invitation_id.as_str()))
            .filter(Column::AcceptedAt.is_null())
            .exec(&self.inner)
            .await?;
        one_row(updated.rows_affected)?;
        if let Some(change) = Change::updated(ObjectType::Invitation, &before.invitation_id, before, &after) {
            self.record(change.named(Action::Accept));
        }
        Ok(())
    }

    /// Notes how far the mail of an invitation got. Of one that is gone nothing
    /// is noted.
    ///
    /// # Errors
    /// [`StoreError`] if the database fails.
    pub async fn note_mail(&mut self, before: &Invitation, mail: InvitationMail) -> Result<(), StoreError> {
        let updated = invitations::Entity::update_many()
            .col_expr(Column::MailState, Expr::value(<&str>::from(mail.state)))
            .col_expr(Column::MailError, Expr::value(mail.error.clone()))
            .filter(Column::InvitationId.eq(before.invitation_id.as_str()))
            .exec(&self.inner)
            .await?;
        let after = Invitation { mail: Some(mail), ..before.clone() };
        let change = Change::updated(ObjectType::Invitation, &before.invitation_id, before, &after);
        if let Some(change) = change.filter(|_| updated.rows_affected == 1) {
            self.record(change);
        }
        Ok(())
    }

    /// Removes an invitation.
    ///
    /// # Errors
    /// [`StoreError::Stale`] if it is gone.
    pub async fn delete_invitation(&mut self, invitation: &Invitation) -> Result<(), StoreError> {
        let deleted = invitations::Entity::delete_by_id(invitation.invitation_id.as_str()).exec(&self.inner).await?;
        one_row(deleted.rows_affected)?;
        self.record(Change::deleted(ObjectType::Invitation, &invitation.invitation_id, invitation));
        Ok(())
    }

    /// Removes a user's invitations: all of them, or those that wait.
    ///
    /// # Errors
    /// [`StoreError`] if the database fails.
    pub async fn revoke_invitations(&mut self, user: &UserId, only_open: bool) -> Result<(), StoreError> {
        let open = only_open.then(|| in_state(InvitationState::Open, self.now()));
        let query = invitations::Entity::find()
            .filter(Column::UserId.eq(user.as_str()))
            .filter(Condition::all().add_option(open))
            .order_by_asc(Column::InvitationId);
        for row in query.all(&self.inner).await? {
            self.delete_invitation(&to_invitation(row)?).await?;
        }
        Ok(())
    }
}

fn to_invitation(row: invitations::Model) -> Result<Invitation, StoreError> {
    let mail = match (row.mail_to, row.mail_state) {
        (Some(to), Some(state)) => {
            Some(InvitationMail { to: Email::stored(to), state: word(&state)?, error: row.mail_error })
        }
        _ => None,
    };
    Ok(Invitation {
        invitation_id: row.invitation_id,
        user_id: UserId::stored(row.user_id),
        accepted_at: row.accepted_at.map(Timestamp::from_micros),
        expires_at: Timestamp::from_micros(row.expires_at),
        created_at: Timestamp::from_micros(row.created_at),
        created_by: row.created_by,
        mail,
    })
}
