//go:build !unix

package store

// noFollow has no form here. A box runs on Linux only; this is for its developers.
const noFollow = 0
