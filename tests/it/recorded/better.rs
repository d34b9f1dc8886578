//! The cases in which Gregor's answer is not the recorded one, and why it is the better one.

use serde_json::Value;
use serde_json::json;

/// A deliberate difference.
pub(crate) struct Better {
    pub(crate) case: &'static str,
    pub(crate) why: &'static str,
    /// Makes of the recorded answer the one that is demanded of Gregor.
    ours: fn(&mut Value),
}

/// Why a leader that is told of another, unreachable one does not lead on.
const DEMOTED: &str =
    "the controller has given the partition away; what 0.8.2.2 still appends there is lost later";

pub(crate) const BETTER: [Better; 6] = [
    Better {
        case: "coordinator-null-group",
        why: "0.8.2.2 loses the correlation id when it fails; clients that check it would throw",
        ours: |answer| answer["correlation_id"] = json!(323),
    },
    Better {
        case: "fetch-offset-v1-after-too-long",
        why: "a commit that was refused is not a position; 0.8.2.2 serves it until the next load",
        ours: |answer| {
            let partitions = answer["topics"][0]["partitions"].as_array_mut().unwrap();
            let refused = partitions
                .iter_mut()
                .find(|partition| partition["partition"] == 0);
            let refused = refused.unwrap().as_object_mut().unwrap();
            refused.extend([
                ("offset".to_owned(), json!(-1)),
                ("metadata".to_owned(), json!("")),
            ]);
        },
    },
    Better {
        case: "leader-and-isr-bad-name",
        why: "names become directories: one that no tool creates, like `../x`, must not be followed",
        ours: |answer| answer["partitions"][0]["error_code"] = json!(-1),
    },
    Better {
        case: "produce-after-unknown-leader",
        why: DEMOTED,
        ours: not_leader,
    },
    Better {
        case: "produce-after-leader-minus-1",
        why: DEMOTED,
        ours: not_leader,
    },
    Better {
        case: "fetch-after-lead-again",
        why: DEMOTED,
        ours: |answer| {
            let partition = &mut answer["topics"][0]["partitions"][0];
            partition["high_watermark"] = json!(0);
            partition["message_set"] = json!("");
        },
    },
];

fn not_leader(answer: &mut Value) {
    let partition = &mut answer["topics"][0]["partitions"][0];
    partition["error_code"] = json!(6);
    partition["base_offset"] = json!(-1);
}

/// Bad frames that are not sent, and why.
pub(crate) const LEFT_OUT: [(&str, &str); 1] = [(
    "size-max-allowed",
    "sent to another broker whose heap was too small for the announced size; nothing is reserved for one here",
)];

/// What is demanded of Gregor for this recorded answer.
pub(crate) fn apply(case: &str, answer: &mut Value) {
    if let Some(better) = BETTER.iter().find(|better| better.case == case) {
        (better.ours)(answer);
    }
}
