// Package policy answers one question: what may this box do, and for whom?
//
// A policy is one document, box.yaml. It names what runs, who may call it and
// within which limits. Its digest is SHA-256 over its exact bytes: what is
// hashed is what is parsed, decided by and shown to people; there is no other
// form. The digest is bound at launch and in every statement, and a running
// box never changes its policy.
//
// Everything is denied unless a line of the document allows it. This version
// has a field only for what it enforces; a field of a later version refuses to
// parse, so that nobody relies on a line that does nothing.
//
// The package stands inside the box, where it decides, and with the relying
// party, who reads the same document with the same code to see what would be
// decided. The document comes from a stranger there.
package policy

import (
	"bytes"
	"crypto/sha256"
	"time"
)

// MaxSize is the largest policy document in bytes.
const MaxSize = 64 << 10

// Policy is a parsed document. It must not be changed after [Parse]. The zero
// Policy denies everything.
type Policy struct {
	// Name is for people; nothing is decided by it.
	Name string
	// Either App is set or Models is not empty.
	App    *App
	Models []Model
	// Callers may be empty: nobody may call then.
	Callers []Caller
	Limits  Limits
	Logs    Logs

	doc    []byte
	digest [sha256.Size]byte
}

// Bytes returns a copy of the exact document.
func (p *Policy) Bytes() []byte { return bytes.Clone(p.doc) }

// Digest returns SHA-256 over the exact document.
func (p *Policy) Digest() [sha256.Size]byte { return p.digest }

// App is a program that the box starts and forwards requests to.
type App struct {
	// Command is the program and its arguments. There is no shell. A program
	// without a slash is looked for in the PATH of Env, or in DefaultPath.
	Command []string
	// Env is the whole environment of the program; PATH is added if missing.
	Env map[string]string
	// Dir is where the program starts, an absolute path; empty means "/".
	Dir string
	// Listen is where the program accepts HTTP: "127.0.0.1:8000" or
	// "unix:/run/app.sock".
	Listen string
}

// DefaultPath is the PATH of an app whose policy sets none.
const DefaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// Address returns the network ("tcp" or "unix") and the address of Listen.
func (a *App) Address() (network, address string) {
	if path, ok := cutPrefix(a.Listen, "unix:"); ok {
		return "unix", path
	}
	return "tcp", a.Listen
}

// Model is an ONNX model that the box runs itself.
type Model struct {
	// Name is the name in request paths.
	Name string
	// Either Builtin is the name of a model that is part of the box's program,
	// or Path is an absolute file path.
	Builtin, Path string
	// SHA256 is the digest of the model's bytes. It is required with Path. Zero
	// means that the box's measurement alone says which bytes they are.
	SHA256 [sha256.Size]byte
}

// Action is a kind of request.
type Action string

const (
	// Query is any request to the app or to the models.
	Query Action = "query"
	// Observe is to read the box's own health and counters.
	Observe Action = "observe"
)

// Caller is someone who may send requests.
type Caller struct {
	// Name identifies the caller to the app. If the document gives none it is
	// "key-" and the first eight digits of the key's hash, or "anyone".
	Name string
	// APIKey is SHA-256 over the caller's key; nil for Anyone.
	APIKey *[sha256.Size]byte
	// Anyone is the caller that shows no key the policy knows.
	Anyone bool
	// May is never empty.
	May []Action
	// Paths limits Query to these: an exact path, or a prefix that ends in "/*".
	// Empty means every path.
	Paths []string
	// Line is where the entry begins in the document.
	Line int
}

// Limits bound what a caller can make the box do.
type Limits struct {
	// Request is the largest request body in bytes.
	Request int64
	// Concurrent is how many requests are served at the same time, in total.
	// Upgraded connections (WebSocket) count for as long as they are open.
	Concurrent int
	// Idle is how long a request may last without a byte in either direction.
	// Upgraded connections are exempt.
	Idle time.Duration
}

// What holds where the document says nothing.
const (
	DefaultRequest    = 1 << 20
	DefaultConcurrent = 16
	DefaultIdle       = 5 * time.Minute
)

// Logs says what the box may tell its operator about requests. Never a part
// of a request or answer.
type Logs string

const (
	// LogsNone is nothing about requests at all. It is the default.
	LogsNone Logs = "none"
	// LogsCounters is how many requests were answered with which kind of status.
	LogsCounters Logs = "counters"
)
