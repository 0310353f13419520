package policy

import "time"

// Limits bound what a caller can make the box do, and what the app can take of
// the box.
type Limits struct {
	// Request is the largest request body in bytes. What runs models takes photographs and
	// recordings where the document says nothing.
	Request int64
	// Response is the largest answer body in bytes; 0 means that the document
	// says nothing and every length is passed on.
	Response int64
	// Concurrent is how many requests are served at the same time, in total.
	// Upgraded connections (WebSocket) count for as long as they are open.
	Concurrent int
	// Time is how long a request may last in all; 0 means that the document says
	// nothing and Idle alone bounds it.
	Time time.Duration
	// Idle is how long a request may last without a byte in either direction.
	// Upgraded connections are exempt.
	Idle time.Duration

	// Memory is the app's memory in bytes, its tmpfs included. PIDs is its
	// processes and threads. OpenFiles is RLIMIT_NOFILE of each process. With an
	// image they have defaults and are never 0; without one 0 means that the
	// document says nothing and they are not bounded.
	Memory    int64
	PIDs      int
	OpenFiles int
	// CPU is in thousandths of one processor; 0 means all that the box has.
	CPU int
}

// What holds where the document says nothing. Memory, PIDs and OpenFiles are for
// an app with an image.
const (
	DefaultRequest    = 1 << 20
	DefaultForModels  = 20 << 20 // request, where the box runs models itself
	DefaultConcurrent = 16
	DefaultIdle       = 5 * time.Minute
	DefaultMemory     = 1 << 30
	DefaultPIDs       = 256
	DefaultOpenFiles  = 1024
)

// Files is what the app may write to. Everything else of its root file system
// is read-only. Nothing of it outlives the box. The zero Files is nothing.
type Files struct {
	// Tmp is the size of /tmp in bytes; 0 means that there is none.
	Tmp int64
	// Writable are further empty places.
	Writable []Writable
}

// Writable is an empty file system in memory.
type Writable struct {
	// Path is absolute, and none of /, /proc, /sys, /dev and what lies in them.
	Path string
	// Size is in bytes, never 0.
	Size int64
	// Line is where the entry begins in the document.
	Line int
}
