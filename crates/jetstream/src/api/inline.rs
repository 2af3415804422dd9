//! What is answered in the publisher's task.

use broker::{Call, Reception};

use crate::account::Account;

/// Takes what was published to the API, to acknowledgement and to flow control subjects.
pub(crate) fn receive(account: &Account, call: &mut Call<'_>) -> Reception {
    let _ = (account, call);
    Reception::Absent
}
