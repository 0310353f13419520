// Package fetch answers one question: what did the vendor's server, or a mirror
// of it, answer within the time and the size that were allowed?
//
// It follows no redirect, reads no page made for people, takes back every
// connection that is too slow, and asks again only where that can help and is
// not impolite: after 429, 5xx and broken connections, not before the server
// said it may. Everything ends within [Options.Total], 15 seconds if nobody says
// otherwise; nothing is retried in silence for minutes.
//
// It stands outside of all trust: what it returns has the size and the first
// byte of what was asked for, and is otherwise whatever the other end sent. Only
// a vendor's signature makes something of it, and no code here looks at one, so
// the box can use this package without linking a verifier.
package fetch
