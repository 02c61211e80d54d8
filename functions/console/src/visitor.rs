//! Who looks at the pages, and what they may do there.
//!
//! Whoever serves the router says so with each request: the gateway by the token it has checked, a
//! local server by whose machine it is. A request of which nobody said anything sees no page.

use std::collections::HashMap;

use axum::http::Method;

/// The claim that names a role by itself.
const ROLE_CLAIMS: [&str; 2] = ["lifecycle_role", "custom:lifecycle_role"];
/// Claims that list groups, of which `lifecycle-viewer`, `-operator` and `-admin` are roles.
const GROUP_CLAIMS: [&str; 3] = ["cognito:groups", "groups", "roles"];
/// Claims that name somebody, the first one that is there.
const NAME_CLAIMS: [&str; 4] = ["email", "cognito:username", "preferred_username", "sub"];

/// What somebody may do; each may what those before may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// To look.
    Viewer,
    /// To act on customers, alerts and what was set aside.
    Operator,
    /// To erase, to drop what was set aside, to change the lifecycle file.
    Admin,
}

impl Role {
    /// All of them.
    pub const ALL: [Role; 3] = [Role::Viewer, Role::Operator, Role::Admin];

    /// The word of claims.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Role::Viewer => "viewer",
            Role::Operator => "operator",
            Role::Admin => "admin",
        }
    }

    /// The role that a call of the API takes, by its path below `/api/`.
    pub(crate) fn needed(method: &Method, call: &str) -> Role {
        let looks = *method == Method::GET || *method == Method::HEAD;
        match call.split('/').next().unwrap_or_default() {
            // What is held about somebody, and who asked not to be known.
            "privacy" => Role::Admin,
            _ if looks => Role::Viewer,
            "lifecycle" => Role::Admin,
            "quarantine" if *method == Method::DELETE => Role::Admin,
            _ => Role::Operator,
        }
    }

    fn named(word: &str) -> Option<Role> {
        Role::ALL.into_iter().find(|role| role.as_str() == word)
    }
}

/// Who looks, and acts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Visitor {
    /// A name or an address: the author of what they do.
    pub name: String,
    /// What they may do.
    pub role: Role,
}

impl Visitor {
    /// Who a token is of, and the highest role it gives; nobody where it gives none.
    pub(crate) fn of_claims(claims: &HashMap<String, String>) -> Option<Visitor> {
        let alone = ROLE_CLAIMS.iter().filter_map(|claim| Role::named(claims.get(*claim)?));
        let groups = GROUP_CLAIMS.iter().filter_map(|claim| claims.get(*claim));
        // The gateway writes a list as `[a b]`.
        let words = groups.flat_map(|list| list.split(|c: char| "[], \"".contains(c)));
        let grouped = words.filter_map(|word| Role::named(word.strip_prefix("lifecycle-")?));
        let role = alone.chain(grouped).max()?;
        let name = NAME_CLAIMS.iter().find_map(|claim| claims.get(*claim))?;
        Some(Visitor { name: name.clone(), role })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn role(claims: &[(&str, &str)]) -> Option<Role> {
        let mut all: HashMap<String, String> =
            claims.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        all.insert("sub".into(), "1".into());
        Visitor::of_claims(&all).map(|visitor| visitor.role)
    }

    #[test]
    fn a_role_is_a_claim_or_a_group_and_the_highest_counts() {
        assert_eq!(role(&[("lifecycle_role", "viewer")]), Some(Role::Viewer));
        assert_eq!(role(&[("groups", "[lifecycle-viewer lifecycle-admin]")]), Some(Role::Admin));
        assert_eq!(role(&[("cognito:groups", "lifecycle-operator")]), Some(Role::Operator));
    }

    #[test]
    fn a_word_that_is_no_role_gives_none() {
        assert_eq!(role(&[]), None);
        assert_eq!(role(&[("groups", "[admin everyone]")]), None);
        assert_eq!(role(&[("lifecycle_role", "ADMIN")]), None);
        assert_eq!(role(&[("groups", "[lifecycle-administrators]")]), None);
    }
}
