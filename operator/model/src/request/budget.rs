//! Is the image as small as its owner wants it?
//!
//! Measured is what a node that has the base pulls of the application: its compressed layers. An image whose layers could
//! not be measured is not too large.

use super::Refusal;
use super::checks::{self, invalid};
use gowindows_crds::patterns;
use gowindows_crds::sizes;
use gowindows_crds::v1alpha1::{BudgetAction, ImageStatus, SizeBudgetSpec};

/// `image.sizeBudget`, validated.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SizeBudget {
    /// Most bytes of the application's layers.
    app: Option<u64>,
    /// Most percent by which they may grow against the last good image.
    growth_percent: Option<i32>,
    /// An image that is too large is not used, in place of a warning.
    pub fails: bool,
}

impl SizeBudget {
    /// Validates `image.sizeBudget`.
    ///
    /// # Errors
    /// The first wrong value, with its field and a remedy.
    pub fn new(spec: Option<SizeBudgetSpec>) -> Result<Self, Refusal> {
        let Some(SizeBudgetSpec { app, growth_percent, action }) = spec else { return Ok(Self::default()) };
        let app = app.map(|size| {
            let remedy = "use bytes with a unit such as 12Mi";
            let fits = checks::Check::new("image.sizeBudget.app", &size, remedy).form(patterns::BYTES)?;
            sizes::bytes(&fits).ok_or_else(|| invalid("image.sizeBudget.app", &size, remedy))
        });
        if let Some(percent) = growth_percent.filter(|percent| !(0..=1_000).contains(percent)) {
            return Err(invalid("image.sizeBudget.growthPercent", &percent.to_string(), "use 0 to 1000"));
        }
        Ok(Self { app: app.transpose()?, growth_percent, fails: action.unwrap_or_default() == BudgetAction::Fail })
    }

    /// What is too large about an image whose growth is noted, if anything is.
    pub fn excess(&self, image: &ImageStatus) -> Option<String> {
        let bytes = app_bytes(image)?;
        if let Some(most) = self.app.filter(|most| bytes > *most) {
            return Some(format!("the application's layers have {bytes} bytes, and image.sizeBudget.app allows {most}"));
        }
        let (grown, most) = (image.delta_percent?, self.growth_percent?);
        (grown > most).then(|| {
            format!("the application's layers grew by {grown} % to {bytes} bytes, and image.sizeBudget.growthPercent allows {most} %")
        })
    }
}

/// By how many percent the application grew, rounded up. None where one of the two could not be measured.
pub fn growth_percent(image: &ImageStatus, before: &ImageStatus) -> Option<i32> {
    let (now, before) = (i128::from(app_bytes(image)?), i128::from(app_bytes(before)?));
    let hundredfold = (now - before) * 100;
    i32::try_from(hundredfold.div_euclid(before) + i128::from(hundredfold.rem_euclid(before) > 0)).ok()
}

/// The application's layers are those of every release.
fn app_bytes(image: &ImageStatus) -> Option<u64> {
    image.platforms.iter().filter_map(|platform| u64::try_from(platform.app_bytes).ok()).max().filter(|bytes| *bytes > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use gowindows_crds::v1alpha1::PlatformStatus;

    fn image(app_bytes: i64) -> ImageStatus {
        ImageStatus { platforms: vec![PlatformStatus { app_bytes, ..PlatformStatus::default() }], ..ImageStatus::default() }
    }

    fn budget(json: &str) -> Result<SizeBudget, Refusal> {
        SizeBudget::new(Some(serde_json::from_str(json).expect("a budget")))
    }

    #[test]
    fn a_budget_fails_unless_it_warns() {
        assert!(budget(r#"{"app": "1Mi"}"#).is_ok_and(|budget| budget.fails));
        assert!(budget(r#"{"app": "1Mi", "action": "Warn"}"#).is_ok_and(|budget| !budget.fails));
        assert_eq!(SizeBudget::new(None).map(|budget| budget.excess(&image(i64::MAX))), Ok(None));
    }

    #[test]
    fn both_limits_count_and_their_excess_is_told() {
        let budget = budget(r#"{"app": "1k", "growthPercent": 10}"#).expect("a budget");
        assert_eq!(budget.excess(&image(1000)), None);
        assert!(budget.excess(&image(1001)).is_some_and(|excess| excess.contains("1001") && excess.contains("1000")));
        let grown = |percent| ImageStatus { delta_percent: Some(percent), ..image(500) };
        assert_eq!(budget.excess(&grown(10)), None);
        assert!(budget.excess(&grown(11)).is_some_and(|excess| excess.contains("11 %") && excess.contains("10 %")));
    }

    #[test]
    fn what_could_not_be_measured_is_not_too_large() {
        let budget = budget(r#"{"app": "1", "growthPercent": 0}"#).expect("a budget");
        for image in [ImageStatus::default(), image(0), image(-1)] {
            assert_eq!(budget.excess(&image), None);
            assert_eq!(growth_percent(&image, &image), None);
        }
    }

    #[test]
    fn growth_is_rounded_up() {
        let grown = |now, before| growth_percent(&image(now), &image(before));
        assert_eq!(
            [grown(1200, 1000), grown(1201, 1000), grown(1000, 1000), grown(999, 1000), grown(500, 1000)],
            [20, 21, 0, 0, -50].map(Some)
        );
    }

    #[test]
    fn wrong_values_name_their_field() {
        for (json, field) in [
            (r#"{"app": "12 MB"}"#, "sizeBudget.app"),
            (r#"{"app": "0"}"#, "sizeBudget.app"),
            (r#"{"app": "999999999999Gi"}"#, "sizeBudget.app"),
            (r#"{"growthPercent": -1}"#, "growthPercent"),
            (r#"{"growthPercent": 1001}"#, "growthPercent"),
        ] {
            assert!(budget(json).is_err_and(|refusal| refusal.message.contains(field)), "{json}");
        }
    }
}
