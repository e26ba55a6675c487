//! Where does chance come from? From one seed: each roll is a hash of the seed, of what is decided and of a number, so that it does not
//! depend on the order in which others roll.

/// Chance from one seed.
#[derive(Clone, Copy, Debug)]
pub struct Dice(pub u64);

impl Dice {
    /// A number that looks random.
    pub fn roll(self, what: &str, number: u64) -> u64 {
        let hash = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        let hash = what.bytes().chain(number.to_le_bytes()).fold(0xcbf2_9ce4_8422_2325 ^ self.0.wrapping_mul(0x9e37_79b9_7f4a_7c15), hash);
        // splitmix64's finish: neighbours shall not look alike.
        let hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        hash ^ (hash >> 31)
    }

    /// A number from 0 to below `limit`.
    pub fn below(self, what: &str, number: u64, limit: u64) -> u64 {
        self.roll(what, number) % limit.max(1)
    }

    /// True in so many of a thousand cases.
    pub fn chance(self, what: &str, number: u64, per_mille: u64) -> bool {
        self.below(what, number, 1000) < per_mille
    }
}
