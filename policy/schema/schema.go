// Package schema answers one question: how does an editor know what may stand in
// box.yaml?
//
// It holds the JSON Schema of the document, made from the table that the parser
// in package policy reads by. What the schema accepts can still be refused there:
// digests of nothing, two callers with one key, Cedar that does not parse. It is
// for convenience, with whoever writes a policy, and nothing is decided by it.
package schema

import _ "embed"

//go:embed box.v1.json
var v1 []byte

// V1 returns the JSON Schema (draft 2020-12) of version 1.
func V1() []byte { return append([]byte(nil), v1...) }
