//! What was asked of an API server? Its own count, which does not tell clients apart.
//!
//! Counted are the kinds that a controller of images deals with. The API server's own requests (Leases, endpoints, definitions,
//! namespaces, its configuration) are of other kinds, and a benchmark's own are of combinations that no controller uses: it creates objects
//! and watches. Watches are left out, whoever has them.

use std::collections::BTreeMap;

use crate::samples;

/// The kinds that count.
const KINDS: [&str; 8] = ["gowindowsimages", "jobs", "pods", "events", "deployments", "nodes", "secrets", "persistentvolumeclaims"];

/// How often each request was answered, by verb, kind, subresource and code.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Requests(BTreeMap<[String; 4], u64>);

/// What a controller asked, by what it is good for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Jobs that were created.
    pub creates: u64,
    /// Statuses that were written.
    pub statuses: u64,
    /// Objects and lists that were read.
    pub reads: u64,
    /// Events that were written.
    pub events: u64,
    /// Any other write.
    pub others: u64,
    /// What was refused or failed, of whatever kind; counted nowhere else.
    pub wasted: u64,
}

impl Requests {
    /// From the API server's `/metrics`.
    pub fn read(metrics: &str) -> Self {
        let mut all = BTreeMap::new();
        for sample in samples(metrics, "apiserver_request_total") {
            let key = ["verb", "resource", "subresource", "code"].map(|label| sample.label(label).to_owned());
            if KINDS.contains(&key[1].as_str()) && !["WATCH", "CONNECT"].contains(&key[0].as_str()) {
                // A counter is a whole number.
                *all.entry(key).or_default() += sample.value as u64;
            }
        }
        Self(all)
    }

    /// What has been asked since then.
    pub fn since(&self, before: &Self) -> Self {
        let less = |(key, count): (&[String; 4], &u64)| {
            let since = count.saturating_sub(before.0.get(key).copied().unwrap_or_default());
            (since > 0).then(|| (key.clone(), since))
        };
        Self(self.0.iter().filter_map(less).collect())
    }

    /// Without what a benchmark asks itself: it creates and deletes objects, annotates them, and nothing else while it counts.
    pub fn of_controller(&self) -> Self {
        let own = |key: &[String; 4]| {
            let [verb, kind, subresource, _] = key.each_ref().map(String::as_str);
            kind == "gowindowsimages" && subresource.is_empty() && ["POST", "DELETE", "PATCH", "DELETECOLLECTION"].contains(&verb)
        };
        Self(self.0.iter().filter(|(key, _)| !own(key)).map(|(key, count)| (key.clone(), *count)).collect())
    }

    /// All of them.
    pub fn count(&self) -> u64 {
        self.0.values().sum()
    }

    /// By what they are good for.
    pub fn tally(&self) -> Tally {
        let mut tally = Tally::default();
        for (key, count) in &self.0 {
            let [verb, kind, subresource, code] = key.each_ref().map(String::as_str);
            let of = match (verb, kind, subresource) {
                _ if !code.starts_with('2') => &mut tally.wasted,
                ("POST", "jobs", "") => &mut tally.creates,
                ("GET" | "LIST", ..) => &mut tally.reads,
                (_, "gowindowsimages", "status") => &mut tally.statuses,
                (_, "events", _) => &mut tally.events,
                _ => &mut tally.others,
            };
            *of += count;
        }
        tally
    }

    /// Each of them, the most frequent first: `LIST events 40, POST jobs 1 (409)`.
    pub fn listed(&self) -> String {
        let mut all: Vec<_> = self.0.iter().collect();
        all.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
        let words = all.into_iter().map(|([verb, kind, subresource, code], count)| {
            let slash = if subresource.is_empty() { "" } else { "/" };
            let code = if code.starts_with('2') { String::new() } else { format!(" ({code})") };
            format!("{verb} {kind}{slash}{subresource} {count}{code}")
        });
        words.collect::<Vec<_>>().join(", ")
    }
}

impl Tally {
    /// All writes that were done.
    pub fn writes(&self) -> u64 {
        self.creates + self.statuses + self.events + self.others
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const METRICS: &str = r#"# TYPE apiserver_request_total counter
apiserver_request_total{code="201",component="apiserver",dry_run="",group="batch",resource="jobs",scope="resource",subresource="",verb="POST",version="v1"} 1000
apiserver_request_total{code="409",component="apiserver",dry_run="",group="batch",resource="jobs",scope="resource",subresource="",verb="POST",version="v1"} 66
apiserver_request_total{code="200",component="apiserver",dry_run="",group="batch",resource="jobs",scope="cluster",subresource="",verb="LIST",version="v1"} 2
apiserver_request_total{code="200",component="apiserver",dry_run="",group="batch",resource="jobs",scope="cluster",subresource="",verb="WATCH",version="v1"} 5
apiserver_request_total{code="201",component="apiserver",dry_run="",group="gowindows.dev",resource="gowindowsimages",scope="resource",subresource="",verb="POST",version="v1alpha1"} 1000
apiserver_request_total{code="200",component="apiserver",dry_run="",group="gowindows.dev",resource="gowindowsimages",scope="resource",subresource="status",verb="APPLY",version="v1alpha1"} 1010
apiserver_request_total{code="200",component="apiserver",dry_run="",group="gowindows.dev",resource="gowindowsimages",scope="resource",subresource="",verb="GET",version="v1alpha1"} 900
apiserver_request_total{code="201",component="apiserver",dry_run="",group="events.k8s.io",resource="events",scope="resource",subresource="",verb="POST",version="v1"} 1001
apiserver_request_total{code="200",component="apiserver",dry_run="",group="coordination.k8s.io",resource="leases",scope="resource",subresource="",verb="PUT",version="v1"} 77
"#;

    #[test]
    fn what_a_controller_asked_is_told_from_the_rest() {
        let all = Requests::read(METRICS);
        let tally = all.of_controller().tally();
        assert_eq!(tally, Tally { creates: 1000, statuses: 1010, reads: 902, events: 1001, others: 0, wasted: 66 });
        assert_eq!((tally.writes(), all.of_controller().count(), all.count()), (3011, 3979, 4979));
        assert!(all.listed().contains("POST jobs 66 (409)"), "{}", all.listed());
    }

    #[test]
    fn what_was_asked_before_does_not_count() {
        let (all, before) = (Requests::read(METRICS), Requests::read(METRICS.replace(" 1001\n", " 1000\n").as_str()));
        assert_eq!(all.since(&before).listed(), "POST events 1");
        assert_eq!(all.since(&all), Requests::default());
    }
}
