package policy

import (
	"crypto/sha256"
	"fmt"
	"time"
)

// App is a program that the box starts and forwards requests to: an OCI image,
// or a command of the box's own file system.
type App struct {
	// Image is where the image comes from: "oci:PATH" (an OCI layout, a folder or
	// an archive) or a registry reference such as "ghcr.io/acme/whisper:2.4.1".
	// "" means that Command runs as a plain process of the box.
	Image string
	// Digest is SHA-256 over the image's manifest. It is set if Image is.
	Digest [sha256.Size]byte
	// Command is the program and its arguments. There is no shell. With an image
	// it replaces entry point and command, and nil means those of the image.
	// Without one it is never empty, and a program without a slash is looked for
	// in the PATH of Env, or in DefaultPath.
	Command []string
	// Env is the environment of the program, added to that of the image. Without
	// an image it is the whole environment; PATH is added if missing.
	Env map[string]string
	// Dir is where the program starts, an absolute path; "" means the image's
	// own, or "/".
	Dir string
	// Listen is where the program accepts HTTP: "127.0.0.1:8000" or
	// "unix:/run/app.sock". A port alone in the document means 127.0.0.1.
	Listen string
	// User is whom the program runs as inside its own user namespace or
	// container. nil means the image's user, and never root.
	User *User
	// Isolation is what runs the image; "" without one.
	Isolation Isolation
	// Capabilities are the Linux capabilities that the program has, "CAP_" names
	// in the order of the document. nil means none.
	Capabilities []string
	// Actions say which requests are which action; the first that fits holds. A
	// request that none fits is Query. See [Policy.ActionOf].
	Actions []ActionRule
}

// User is a numeric user and group.
type User struct{ UID, GID uint32 }

// Isolation is the OCI runtime that runs an image.
type Isolation string

const (
	// IsolationNone is a plain process of the box, for an app without an image.
	IsolationNone Isolation = ""
	// IsolationRunc is namespaces, seccomp and cgroups. It is what an image gets
	// if the document says nothing.
	IsolationRunc Isolation = "runc"
	// IsolationGVisor is a kernel in user space between the app and ours.
	IsolationGVisor Isolation = "gvisor"
)

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
	// Batch is how requests share runs; nil: each has its own.
	Batch *Batch
	// Line is where the entry begins in the document.
	Line int
}

// Batch is how requests for a model share runs.
type Batch struct {
	// Rows is how many rows a run may have, of all its requests together.
	Rows int
	// Wait is how long a request that could run waits for others.
	Wait time.Duration
}

func (b *Batch) String() string {
	switch {
	case b == nil:
		return "one request a run"
	case b.Wait == 0:
		return fmt.Sprintf("runs of up to %d rows", b.Rows)
	}
	return fmt.Sprintf("runs of up to %d rows, for which a request waits up to %v", b.Rows, b.Wait)
}
