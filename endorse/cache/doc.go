// Package cache keeps vendors' objects on disk, and answers one question: what
// was fetched before, byte for byte, and what is the newest that was ever seen?
//
// Objects lie under the SHA-256 of their bytes, so a damaged one shows and
// counts as missing. An index entry per address names the object and the time it
// was fetched; every file is written under another name, then renamed, so
// processes that share a directory need no lock and see whole files. Floors are
// kept apart from the objects and are never evicted: a floor is the highest
// number of a CRL or of TCB data that was seen, and only rises.
//
// The package stands with the relying party. It decides nothing: whoever takes
// an object out of it verifies it again. Who may write into the directory can
// delete objects and floors, as can nobody else.
package cache
