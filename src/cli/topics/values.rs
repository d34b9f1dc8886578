//! What the values of options mean; what is wrong with one is said in the reference's words.

use std::collections::BTreeMap;

use super::Error;
use super::ids;
use crate::types::BrokerId;
use crate::zookeeper::Assignment;

/// The one value of an option that has at most one.
pub(super) fn single<'a>(name: &str, values: &'a [String]) -> Result<Option<&'a str>, Error> {
    match values {
        [] => Ok(None),
        [value] => Ok(Some(value)),
        _ => Err(Error::Value(format!(
            "Found multiple arguments for option ['{name}'], but you asked for only one"
        ))),
    }
}

/// The one number of such an option.
pub(super) fn number(name: &str, values: &[String]) -> Result<Option<usize>, Error> {
    let Some(text) = single(name, values)? else {
        return Ok(None);
    };
    let number: i32 = text.parse().map_err(|_| {
        Error::Value(format!(
            "Cannot convert argument '{text}' of option ['{name}'] to class java.lang.Integer"
        ))
    })?;
    // Fewer than none is as wrong as none, which is refused where it is used.
    Ok(Some(usize::try_from(number).unwrap_or(0)))
}

/// Settings by name.
pub(super) fn settings(pairs: &[String]) -> Result<BTreeMap<String, String>, Error> {
    let pair = |pair: &String| {
        let (name, value) = pair.split_once('=')?;
        (!value.contains('=')).then(|| (name.trim().to_owned(), value.trim().to_owned()))
    };
    pairs.iter().map(pair).collect::<Option<_>>().ok_or_else(|| {
        let reason = "requirement failed: Invalid topic config: all configs to be added must be in the format \"key=val\".";
        Error::Value(reason.to_owned())
    })
}

/// One item per partition, the brokers of each between colons.
pub(super) fn by_hand(text: &str) -> Result<Assignment, Error> {
    let mut assignment = Assignment::new();
    for (item, partition) in text.split(',').zip(0..) {
        let mut replicas: Vec<BrokerId> = Vec::new();
        for id in item.split(':') {
            let id = id.trim();
            let number = id
                .parse()
                .map_err(|_| Error::Value(format!("For input string: \"{id}\"")))?;
            if replicas.contains(&BrokerId(number)) {
                let reason = "Partition replica lists may not contain duplicate entries";
                return Err(Error::Value(format!("{reason}: {number}")));
            }
            replicas.push(BrokerId(number));
        }
        let first: Option<&Vec<BrokerId>> = assignment.get(&0);
        if first.is_some_and(|first| first.len() != replicas.len()) {
            let reason = "has different replication factor";
            return Err(Error::Value(format!(
                "Partition {partition} {reason}: {}",
                ids(&replicas)
            )));
        }
        assignment.insert(partition, replicas);
    }
    Ok(assignment)
}
