package endorse

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/blindbox/blindbox/endorse/cache"
	"github.com/blindbox/blindbox/endorse/freshness"
	"github.com/blindbox/blindbox/endorse/source"
	"github.com/blindbox/blindbox/internal/strictjson"
)

// State is how an object in a cache stands.
type State string

// The states, best first.
const (
	Fresh   State = "fresh"
	Aging   State = "aging"   // in force, but a newer one should be asked for
	Early   State = "early"   // not in force yet
	Expired State = "expired" // evidence that needs it will be refused
	Damaged State = "damaged" // cannot be read
)

// Forecast says what is in a cache and until when.
type Forecast struct {
	At     time.Time       `json:"at"`
	Items  []ForecastItem  `json:"items"`
	Levels []ForecastLevel `json:"tcb_levels"`
}

// ForecastItem is one object. It was verified when it was fetched and will be
// when it is used; here its dates are read and nothing else.
type ForecastItem struct {
	What    string    `json:"what"`
	Host    string    `json:"host"`
	Form    string    `json:"form"`
	Key     string    `json:"key"`
	Issuer  string    `json:"issuer,omitempty"`
	Number  string    `json:"number,omitempty"`
	State   State     `json:"state"`
	Fetched time.Time `json:"fetched"`
	From    time.Time `json:"from,omitzero"`
	Until   time.Time `json:"until,omitzero"` // zero: no end of its own
	Refresh time.Time `json:"refresh,omitzero"`
}

// ForecastLevel is a TCB level of a platform type, as Intel judges it now and
// will judge it when the early set becomes the standard one.
type ForecastLevel struct {
	Platform string `json:"platform"` // "tdx/00606a000000"
	Date     string `json:"tcb_date"` // of the level
	Status   string `json:"status"`
	Next     string `json:"next_status,omitempty"` // "" if no early set is in the cache
	Number   string `json:"number"`
	NextNum  string `json:"next_number,omitempty"`
}

// Look reads a cache. The items are ordered by their end, the next one first;
// those without an end come last.
func Look(d *cache.Dir, at time.Time) (Forecast, error) {
	entries, err := d.Entries()
	if err != nil {
		return Forecast{}, err
	}
	f := Forecast{At: at.UTC().Truncate(time.Second), Items: []ForecastItem{}, Levels: []ForecastLevel{}}
	sets := map[string]tcbSet{}
	for _, e := range entries {
		item, facts := forecast(e, at)
		f.Items = append(f.Items, item)
		if item.Form == source.FormTCBInfo.String() && item.State != Damaged {
			sets[setName(e.Key, facts.Subject)] = readSet(e.Data, facts)
		}
	}
	slices.SortStableFunc(f.Items, byEnd)
	f.Levels = append(f.Levels, levels(sets)...)
	return f, nil
}

func byEnd(a, b ForecastItem) int {
	switch {
	case a.Until.IsZero() != b.Until.IsZero():
		if b.Until.IsZero() {
			return -1
		}
		return 1
	case !a.Until.Equal(b.Until):
		return a.Until.Compare(b.Until)
	}
	return strings.Compare(a.Key, b.Key)
}

// ocspKey begins the keys that cannot be read back: they hold a hash.
const ocspKey = "ocsp.ndis.nvidia.com/#"

func forecast(e cache.Entry, at time.Time) (ForecastItem, freshness.Facts) {
	host, _, _ := strings.Cut(e.Key, "/")
	item := ForecastItem{What: e.Key, Host: host, Key: e.Key, Fetched: e.Fetched, State: Damaged}
	o, err := source.ParseKey(e.Key)
	form := o.Form()
	switch {
	case strings.HasPrefix(e.Key, ocspKey):
		form, item.What = source.FormOCSP, "OCSP status "+e.Key[len(ocspKey):][:min(8, len(e.Key)-len(ocspKey))]+".."
	case err != nil:
		return item, freshness.Facts{}
	default:
		item.What = o.What()
	}
	item.Form = form.String()
	facts, err := freshness.Read(form, e.Data)
	if err != nil {
		return item, freshness.Facts{}
	}
	item.Issuer, item.From, item.Until = facts.Issuer, facts.From.UTC(), facts.Until.UTC()
	if facts.Number != nil {
		item.Number = number(facts.Number)
	}
	item.Refresh = freshUntil(Item{Object: o, Facts: facts, Fetched: e.Fetched}).UTC()
	item.State = state(item, at)
	return item, facts
}

func state(item ForecastItem, at time.Time) State {
	switch {
	case item.From.After(at):
		return Early
	case !item.Until.IsZero() && at.After(item.Until):
		return Expired
	case !at.Before(item.Refresh):
		return Aging
	}
	return Fresh
}

// tcbSet is a TCB info's levels by what they require.
type tcbSet struct {
	platform, number string
	order            []string
	levels           map[string]level
}

type level struct{ date, status string }

func setName(key, platform string) string {
	if strings.Contains(key, "update=early") {
		return platform + " early"
	}
	return platform
}

// readSet reads the levels of a TCB info (PCS API v4, TCB info v3, tcbLevels). A
// level is known by the versions that it requires, as they are written.
func readSet(doc []byte, facts freshness.Facts) tcbSet {
	set := tcbSet{platform: facts.Subject, number: number(facts.Number), levels: map[string]level{}}
	var info struct {
		Info struct {
			Levels []struct {
				TCB    rawJSON `json:"tcb"`
				Date   string  `json:"tcbDate"`
				Status string  `json:"tcbStatus"`
			} `json:"tcbLevels"`
		} `json:"tcbInfo"`
	}
	if err := strictjson.Decode(doc, &info, strictjson.Options{AllowUnknown: true}); err != nil {
		return set
	}
	for _, l := range info.Info.Levels {
		date, _, _ := strings.Cut(l.Date, "T")
		key := string(l.TCB) + date
		set.order = append(set.order, key)
		set.levels[key] = level{date: date, status: l.Status}
	}
	return set
}

// rawJSON keeps a value as it is written.
type rawJSON []byte

// ReadStrictJSON reads one value.
func (r *rawJSON) ReadStrictJSON(in *strictjson.Reader) error {
	raw, err := in.Skip()
	*r = raw
	return err
}

func levels(sets map[string]tcbSet) []ForecastLevel {
	var out []ForecastLevel
	for name, now := range sets {
		if name != now.platform {
			continue
		}
		next, has := sets[name+" early"]
		for _, key := range now.order {
			l := now.levels[key]
			f := ForecastLevel{Platform: now.platform, Date: l.date, Status: l.status, Number: now.number}
			if has && next.number != now.number {
				f.NextNum, f.Next = next.number, next.levels[key].status
			}
			out = append(out, f)
		}
	}
	slices.SortStableFunc(out, func(a, b ForecastLevel) int {
		if c := strings.Compare(a.Platform, b.Platform); c != 0 {
			return c
		}
		return strings.Compare(b.Date, a.Date)
	})
	return out
}

// Metrics returns the forecast in the Prometheus text format (version 0.0.4).
func (f Forecast) Metrics() string {
	var b strings.Builder
	head := func(name, help string) {
		fmt.Fprintf(&b, "# HELP %s %s\n# TYPE %s gauge\n", name, help, name)
	}
	head("blindbox_endorsement_end_timestamp_seconds", "When the object is no longer in force.")
	for _, it := range f.Items {
		if !it.Until.IsZero() {
			fmt.Fprintf(&b, "blindbox_endorsement_end_timestamp_seconds{%s} %d\n", it.labels(), it.Until.Unix())
		}
	}
	head("blindbox_endorsement_fetched_timestamp_seconds", "When the object was fetched.")
	for _, it := range f.Items {
		fmt.Fprintf(&b, "blindbox_endorsement_fetched_timestamp_seconds{%s} %d\n", it.labels(), it.Fetched.Unix())
	}
	head("blindbox_endorsement_usable", "1 if the object is in force now, 0 if not.")
	for _, it := range f.Items {
		usable := 0
		if it.State == Fresh || it.State == Aging {
			usable = 1
		}
		fmt.Fprintf(&b, "blindbox_endorsement_usable{%s} %d\n", it.labels(), usable)
	}
	head("blindbox_tcb_level", "1 for each TCB level of a platform type, with its status now and in Intel's early set.")
	for _, l := range f.Levels {
		fmt.Fprintf(&b, "blindbox_tcb_level{platform=%s,tcb_date=%s,status=%s,next_status=%s} 1\n",
			label(l.Platform), label(l.Date), label(l.Status), label(l.Next))
	}
	return b.String()
}

func (it ForecastItem) labels() string {
	return "what=" + label(it.What) + ",host=" + label(it.Host) + ",form=" + label(it.Form)
}

// label quotes a value as the format demands. What is not printable ASCII is
// somebody's attempt to look like something else.
func label(s string) string {
	clean := strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, s)
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(clean) + `"`
}
