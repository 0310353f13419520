// Package endorse gets vendors' endorsements for evidence, on the relying
// party's side. It answers one question: which of the vendors' objects that this
// evidence needs are genuine, in force, and no older than those seen before?
//
// An object is verified up to the vendor's pinned root before it is kept or
// returned, and again whenever it is taken out of the cache. A revocation list
// or TCB data with a lower number than one that was seen is refused, although it
// may still be in force: that is how an old list hides a new withdrawal.
//
// The default way needs none of this: the box staples what its evidence needs
// and the verifiers use no network. This package is for evidence without
// staples, for filling a mirror, and for the floors.
package endorse
