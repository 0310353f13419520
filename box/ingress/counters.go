package ingress

import (
	"encoding/json"
	"maps"
	"sync"

	"github.com/blindbox/blindbox/policy"
)

// Counters is how many requests ended how, since the box started.
type Counters struct {
	// Answered counts the backend's answers by class: "2xx". "none" is for
	// requests that were broken off before an answer began.
	Answered map[string]int64 `json:"answered"`
	// Refused counts the box's own refusals by code: "BBX-401".
	Refused map[string]int64 `json:"refused"`
	// Batches counts the runs of models that several requests shared; nil in a box
	// without models.
	Batches *Batches `json:"batches,omitempty"`
}

// Batches is how many runs of models several requests shared, how many requests these
// were, and how many rows they had together.
type Batches struct {
	Runs     int64 `json:"runs"`
	Requests int64 `json:"requests"`
	Rows     int64 `json:"rows"`
}

func (c *Counters) json() []byte {
	text, err := json.Marshal(c)
	if err != nil {
		return []byte("{}\n")
	}
	return append(text, '\n')
}

type counters struct {
	mu   sync.Mutex
	sums Counters
}

func (c *counters) add(refused string, status int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.sums.Answered == nil {
		c.sums = Counters{Answered: map[string]int64{}, Refused: map[string]int64{}}
	}
	switch {
	case refused != "":
		c.sums.Refused[refused]++
	case status >= 100 && status < 600:
		c.sums.Answered[string(rune('0'+status/100))+"xx"]++
	default:
		c.sums.Answered["none"]++
	}
}

// Counters returns a copy of the counters. They stay empty if the policy does
// not have them.
func (h *Handler) Counters() *Counters {
	h.counters.mu.Lock()
	defer h.counters.mu.Unlock()
	c := &Counters{Answered: maps.Clone(h.counters.sums.Answered), Refused: maps.Clone(h.counters.sums.Refused)}
	if h.cfg.Policy.Logs == policy.LogsCounters {
		c.Batches = h.cfg.Batches()
	}
	return c
}
