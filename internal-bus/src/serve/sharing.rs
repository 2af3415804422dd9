//! What accounts have to do with each other, and subjects that stand for others: made at the start, changed on reload.

use std::sync::{Arc, Mutex, PoisonError};

use broker::{ImportHandle, Mapped, Server, SubjectMapper};
use jetstream::config::SubjectMapping;

use crate::plan::{ImportPlan, MappingPlan};

/// What is in force.
pub(super) struct Sharing {
    server: Server,
    imports: Mutex<Vec<(ImportPlan, ImportHandle)>>,
    mappings: Mutex<Vec<MappingPlan>>,
}

impl Sharing {
    /// Nothing yet.
    pub(super) fn new(server: &Server) -> Self {
        Self { server: server.clone(), imports: Mutex::default(), mappings: Mutex::default() }
    }

    /// Puts this in force; what was and is not in it ends.
    ///
    /// # Errors
    /// Something can't be made: nothing has changed then.
    pub(super) fn put(&self, imports: &[ImportPlan], mappings: &[MappingPlan]) -> Result<(), String> {
        let compiled: Vec<(String, Arc<dyn SubjectMapper>)> = mappings
            .iter()
            .map(|plan| Mapper::new(plan).map(|mapper| (plan.account.clone(), Arc::new(mapper) as _)))
            .collect::<Result<_, String>>()?;
        self.import(imports)?;
        let mut before = self.mappings.lock().unwrap_or_else(PoisonError::into_inner);
        for gone in before.iter().filter(|old| !mappings.iter().any(|new| new.account == old.account)) {
            self.server.map_subjects(&gone.account, None);
        }
        for (account, mapper) in compiled {
            self.server.map_subjects(&account, Some(mapper));
        }
        *before = mappings.to_vec();
        Ok(())
    }

    fn import(&self, wanted: &[ImportPlan]) -> Result<(), String> {
        let mut held = self.imports.lock().unwrap_or_else(PoisonError::into_inner);
        let mut made = Vec::new();
        for plan in wanted.iter().filter(|plan| !held.iter().any(|(known, _)| known == *plan)) {
            match self.make(plan) {
                Ok(handle) => made.push((plan.clone(), handle)),
                Err(error) => {
                    made.into_iter().for_each(|(_, handle)| handle.end());
                    return Err(error);
                }
            }
        }
        let (kept, gone) = held.drain(..).partition::<Vec<_>, _>(|(plan, _)| wanted.contains(plan));
        gone.into_iter().for_each(|(_, handle)| handle.end());
        held.extend(kept.into_iter().chain(made));
        Ok(())
    }

    fn make(&self, plan: &ImportPlan) -> Result<ImportHandle, String> {
        let ImportPlan { exporter, subject, importer, to, service } = plan;
        let made = match service {
            Some(terms) => self.server.import_service(exporter, subject, importer, to, *terms),
            None => self.server.import_stream(exporter, subject, importer, to),
        };
        made.map_err(|error| format!("import of {subject:?} into {importer}: {error}"))
    }
}

/// The mappings of one account.
struct Mapper(Vec<Rule>);

struct Rule {
    source: String,
    /// Each with the part of a hundred it ends at.
    destinations: Vec<(u8, SubjectMapping)>,
    /// What is left over by the weights goes nowhere, and not as it is.
    lossy: bool,
}

impl Mapper {
    fn new(plan: &MappingPlan) -> Result<Self, String> {
        let rule = |(source, destinations): &(String, Vec<(String, u8)>)| {
            let mut end = 0_u8;
            let mut compiled = Vec::new();
            for (subject, weight) in destinations {
                end = end.saturating_add(*weight);
                compiled.push((end, SubjectMapping::new(source, subject)?));
            }
            let lossy = destinations.iter().any(|(subject, _)| subject == source);
            Ok(Rule { source: source.clone(), destinations: compiled, lossy })
        };
        plan.rules.iter().map(rule).collect::<Result<_, String>>().map(Self)
    }
}

impl SubjectMapper for Mapper {
    fn map(&self, subject: &[u8], to: &mut Vec<u8>) -> Mapped {
        let about = |rule: &&Rule| subject::matches(rule.source.as_bytes(), subject);
        let Some(rule) = self.0.iter().find(about) else { return Mapped::AsItIs };
        let settled = matches!(rule.destinations.as_slice(), [(100, _)]);
        let drawn = if settled { 0 } else { rand::random_range(0..100_u8) };
        match rule.destinations.iter().find(|(end, _)| drawn < *end) {
            Some((_, mapping)) if mapping.apply(subject, to) => {
                if settled {
                    Mapped::Always
                } else {
                    Mapped::ThisTime
                }
            }
            Some(_) => Mapped::AsItIs,
            None if rule.lossy => Mapped::Nowhere,
            None => {
                to.extend_from_slice(subject);
                Mapped::ThisTime
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mapper(source: &str, destinations: &[(&str, u8)]) -> Mapper {
        let destinations = destinations.iter().map(|(to, weight)| ((*to).to_owned(), *weight)).collect();
        Mapper::new(&MappingPlan { account: "A".into(), rules: vec![(source.into(), destinations)] }).unwrap()
    }

    /// How many of a thousand messages go to each place.
    fn spread(mapper: &Mapper, subject: &str) -> std::collections::BTreeMap<String, usize> {
        let mut counts = std::collections::BTreeMap::new();
        for _ in 0..1000 {
            let mut to = Vec::new();
            let place = match mapper.map(subject.as_bytes(), &mut to) {
                Mapped::AsItIs => subject.to_owned(),
                Mapped::Nowhere => String::new(),
                Mapped::Always | Mapped::ThisTime => String::from_utf8(to).unwrap(),
            };
            *counts.entry(place).or_default() += 1;
        }
        counts
    }

    #[test]
    fn weights_share_out_and_the_rest_stays_or_is_lost() {
        assert_eq!(
            spread(&mapper("a.*", &[("b.{{wildcard(1)}}", 100)]), "a.1"),
            [("b.1".into(), 1000)].into()
        );
        assert_eq!(spread(&mapper("a.*", &[("b.$1", 100)]), "c.1"), [("c.1".into(), 1000)].into());
        // Far from where chance gets in a thousand draws.
        let some = spread(&mapper("a", &[("b", 50), ("c", 20)]), "a");
        assert!(some["b"] > 350 && some["c"] > 90 && some["a"] > 170, "{some:?}");
        let lossy = spread(&mapper("a", &[("a", 50)]), "a");
        assert!(lossy["a"] > 350 && lossy[""] > 350, "{lossy:?}");
        assert_eq!(spread(&mapper("a", &[("b", 0)]), "a"), [("a".into(), 1000)].into());
    }
}
