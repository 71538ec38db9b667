//! Group of the key exchange, with constant-time arithmetic.
//!
//! With `cfg(fuzzing)`, which only a fuzzer's `RUSTFLAGS` set, the group is a small one: a fuzzer would spend its time in
//! the powers of 3072-bit numbers and find nothing there.

use crypto_bigint::modular::{ConstMontyForm, ConstMontyParams};
use crypto_bigint::{CtSelect as _, Uint, const_monty_params};

/// Number as wide as the modulus.
#[cfg(not(fuzzing))]
pub(crate) type Number = crypto_bigint::U3072;
#[cfg(fuzzing)]
pub(crate) type Number = crypto_bigint::U768;

#[cfg(not(fuzzing))]
const_monty_params!(
    Modulus,
    Number,
    "FFFFFFFFFFFFFFFFC90FDAA22168C234C4C6628B80DC1CD129024E088A67CC74020BBEA63B139B22514A08798E3404DD\
     EF9519B3CD3A431B302B0A6DF25F14374FE1356D6D51C245E485B576625E7EC6F44C42E9A637ED6B0BFF5CB6F406B7ED\
     EE386BFB5A899FA5AE9F24117C4B1FE649286651ECE45B3DC2007CB8A163BF0598DA48361C55D39A69163FA8FD24CF5F\
     83655D23DCA3AD961C62F356208552BB9ED529077096966D670C354E4ABC9804F1746C08CA18217C32905E462E36CE3B\
     E39E772C180E86039B2783A2EC07A28FB5C55DF06F4C52C9DE2BCBF6955817183995497CEA956AE515D2261898FA0510\
     15728E5A8AAAC42DAD33170D04507A33A85521ABDF1CBA64ECFB850458DBEF0A8AEA71575D060C7DB3970F85A6E1E4C7\
     ABF5AE8CDB0933D71E8C94E04A25619DCEE3D2261AD2EE6BF12FFA06D98A0864D87602733EC86A64521F2B18177B200C\
     BBE117577A615D6C770988C0BAD946E208E24FA074E5AB3143DB5BFCE0FD108E4B82D120A93AD2CAFFFFFFFFFFFFFFFF",
    "The 3072-bit MODP group of RFC 3526, group 15, which is the 3072-bit group of RFC 5054."
);

#[cfg(fuzzing)]
const_monty_params!(
    Modulus,
    Number,
    "FFFFFFFFFFFFFFFFC90FDAA22168C234C4C6628B80DC1CD129024E088A67CC74020BBEA63B139B22514A08798E3404DD\
     EF9519B3CD3A431B302B0A6DF25F14374FE1356D6D51C245E485B576625E7EC6F44C42E9A63A3620FFFFFFFFFFFFFFFF",
    "The 768-bit group 1 of RFC 2409, which protects nothing."
);

/// Number modulo N, in Montgomery form.
pub(crate) type Element = ConstMontyForm<Modulus, { Number::LIMBS }>;

/// The modulus N.
pub(crate) const N: Number = *Modulus::PARAMS.modulus().as_ref();

/// `2^exponent`, from the lowest `bits` bits of the exponent. The generator is 2; RFC 5054 lists 5 for this size.
///
/// Multiplication by the generator is an addition, so only squarings are expensive.
pub(crate) fn generator_to<const LIMBS: usize>(exponent: &Uint<LIMBS>, bits: u32) -> Element {
    let mut power = Element::ONE;
    for at in (0..bits).rev() {
        power = power.square();
        let doubled = power.double();
        power = Element::from_montgomery(
            power.as_montgomery().ct_select(doubled.as_montgomery(), exponent.bit(at)),
        );
    }
    power
}

/// `base^exponent`, from the lowest `bits` bits of the exponent.
pub(crate) fn power(base: &Element, exponent: &Number, bits: u32) -> Element {
    base.pow_amm_bounded_exp(exponent, bits)
}
