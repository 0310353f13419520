package policy

import "crypto/sha256"

// Service is a program beside the app, from an image of its own: a database, a
// cache. It has its own root file system, users and processes, and shares with the
// app and the other services a private network in which each has its name. No
// request of a caller reaches it.
//
// Services start in the order of the document, each when the one before accepts
// connections, and the app last. What the policy's egress allows, all may use.
type Service struct {
	// Name is the host name by which the app and the others reach it.
	Name string
	// Image, Digest, Command, Env, Dir, User and Capabilities are as in [App].
	// Image and Digest are always set.
	Image        string
	Digest       [sha256.Size]byte
	Command      []string
	Env          map[string]string
	Dir          string
	User         *User
	Capabilities []string
	// Listen is the TCP port at which it accepts connections, 0 if the document
	// does not say: then nothing waits for it.
	Listen uint16
	// Files is what it may write to.
	Files Files
	// Memory, PIDs, OpenFiles and CPU bound this service, as in [Limits], with the
	// same defaults.
	Memory         int64
	PIDs           int
	OpenFiles, CPU int
	// Line is where the entry begins in the document.
	Line int
}

// MaxServices is how many services a policy can have.
const MaxServices = 16

// appHost is a name by which services reach the app, whatever the box is called.
const appHost = "app"
