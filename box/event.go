package box

import (
	"github.com/blindbox/blindbox/box/egress"
	"github.com/blindbox/blindbox/box/ingress"
)

// Name says what happened in the life of a box.
type Name string

const (
	Starting   Name = "starting"    // Detail is the policy's summary
	AppStarted Name = "app started" // the app accepts connections
	AppNote    Name = "app note"    // Detail is what is not as its image has it
	AppExited  Name = "app exited"  // it is started again; Detail is how, if AppOutput is set
	Peering    Name = "peering"     // Detail is what is wrong with the program that judges other boxes
	Serving    Name = "serving"     // the door is open; Detail is the address
	Stopping   Name = "stopping"    // the door is closed
	Stopped    Name = "stopped"     // Counters and Egress are set if the policy says so
)

// Event is everything that a box tells its operator. It never holds a part of
// a request or answer, or of what the app printed.
type Event struct {
	Name     Name
	Detail   string
	Counters *ingress.Counters
	// Egress is what left an app's network and what did not; nil without one.
	Egress *egress.Counters
}

// String returns one line.
func (e Event) String() string {
	if e.Detail == "" {
		return string(e.Name)
	}
	return string(e.Name) + ": " + e.Detail
}

func (b *Box) log(e Event) {
	b.sealed.event(e.String())
	if b.cfg.Log != nil {
		b.cfg.Log(e)
	}
}
