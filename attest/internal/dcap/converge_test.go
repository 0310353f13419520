package dcap

import (
	"fmt"
	"math/rand"
	"slices"
	"testing"
)

// oracle tells how a machine stands the way Intel's documents do it (SGX and TDX
// DCAP, "Quote Verification", 4.1.2.4.17): one rule after the other over the raw
// numbers, none of it shared with the engine. The second result says that no level
// or no module identity fits.
type oracle struct {
	info *TCBInfo
	pck  *PCK
	td   *TDReport
	is15 bool
}

func (o oracle) reached(l *PlatformLevel) (sgx, both bool) {
	sgx = o.pck.PCESVN >= l.PCESVN
	for i := range l.SGX {
		sgx = sgx && o.pck.Components[i] >= l.SGX[i]
	}
	both = sgx
	for i := range l.TDX {
		ownLevels := i < 2 && o.td.TEETCBSVN[1] != 0
		both = both && (ownLevels || o.td.TEETCBSVN[i] >= l.TDX[i])
	}
	return sgx, both
}

func (o oracle) identity(version uint8) *ModuleIdentity {
	i := slices.IndexFunc(o.info.Modules, func(m ModuleIdentity) bool { return m.ID == fmt.Sprintf("TDX_%02X", version) })
	if i < 0 {
		return nil
	}
	return &o.info.Modules[i]
}

func behind(s Status) Status {
	return map[Status]Status{
		UpToDate: OutOfDate, SWHardeningNeeded: OutOfDate, OutOfDate: OutOfDate, Revoked: Revoked,
		ConfigurationNeeded: OutOfDateConfigurationNeeded, ConfigurationAndSWHardeningNeeded: OutOfDateConfigurationNeeded,
		OutOfDateConfigurationNeeded: OutOfDateConfigurationNeeded,
		TDRelaunchAdvised:            TDRelaunchAdvised, TDRelaunchAdvisedConfigurationNeeded: TDRelaunchAdvisedConfigurationNeeded,
	}[s]
}

func add(s, part Status) Status {
	switch part {
	case UpToDate:
		return s
	case Revoked:
		return Revoked
	}
	return behind(s)
}

func (o oracle) status(qe Status) (Status, bool) {
	var hardware, platform *PlatformLevel
	for i := range o.info.Levels {
		sgx, both := o.reached(&o.info.Levels[i])
		if sgx && hardware == nil {
			hardware = &o.info.Levels[i]
		}
		if both && platform == nil {
			platform = &o.info.Levels[i]
		}
	}
	module := UpToDate
	if v := o.td.TEETCBSVN[1]; v != 0 {
		m := o.identity(v)
		if m == nil {
			return StatusUnknown, false
		}
		i := slices.IndexFunc(m.Levels, func(l SVNLevel) bool { return uint16(o.td.TEETCBSVN[0]) >= l.ISVSVN })
		if i < 0 {
			return StatusUnknown, false
		}
		module = m.Levels[i].Status
	}
	if platform == nil {
		return StatusUnknown, false
	}
	s := add(platform.Status, module)
	if o.is15 && qe == UpToDate && module == OutOfDate && (s == OutOfDate || s == OutOfDateConfigurationNeeded) && behind(hardware.Status) != hardware.Status {
		newest := uint16(o.info.Levels[0].TDX[0])
		if v := o.td.TEETCBSVN2[1]; v != 0 {
			m := o.identity(v)
			if m == nil {
				return StatusUnknown, false
			}
			newest = m.Levels[0].ISVSVN
		}
		if uint16(o.td.TEETCBSVN2[0]) >= newest && o.td.TEETCBSVN2[2] >= o.info.Levels[0].TDX[2] {
			s = map[bool]Status{false: TDRelaunchAdvised, true: TDRelaunchAdvisedConfigurationNeeded}[behind(hardware.Status) != OutOfDate || s != OutOfDate]
		}
	}
	return add(s, qe), true
}

// TestConverge: of many small machines and TCB infos, each has the status that the
// oracle says. Numbers are few, so that levels are often just reached or missed.
func TestConverge(t *testing.T) {
	r := rand.New(rand.NewSource(1))
	pick := func(list ...Status) Status { return list[r.Intn(len(list))] }
	numbers := func(dst []uint8, below int) {
		for i := range dst {
			dst[i] = uint8(r.Intn(below))
		}
	}
	seen := make(map[Status]int)
	for range 60000 {
		info := &TCBInfo{TEE: TDX, Module: &ModuleSigner{}}
		for range 1 + r.Intn(5) {
			l := PlatformLevel{PCESVN: uint16(r.Intn(3)), Level: Level{Status: UpToDate + Status(r.Intn(int(Revoked)))}}
			numbers(l.SGX[:3], 2)
			numbers(l.TDX[:3], 3)
			info.Levels = append(info.Levels, l)
		}
		for v := range 3 {
			m := ModuleIdentity{ID: fmt.Sprintf("TDX_%02X", v+1)}
			for range r.Intn(4) {
				m.Levels = append(m.Levels, SVNLevel{uint16(r.Intn(4)), Level{Status: pick(UpToDate, OutOfDate, OutOfDate, Revoked)}})
			}
			if m.Levels != nil {
				info.Modules = append(info.Modules, m)
			}
		}
		if info.check() != nil {
			continue // two equal levels
		}
		pck, q := &PCK{PCESVN: 1 + uint16(r.Intn(2))}, &Quote{BodyType: bodyOf(r), TD: &TDReport{}}
		numbers(pck.Components[:3], 3)
		numbers(q.TD.TEETCBSVN[:3], 4)
		numbers(q.TD.TEETCBSVN2[:3], 4)
		qe := pick(UpToDate, UpToDate, UpToDate, OutOfDate, ConfigurationNeeded, Revoked)
		want, fits := oracle{info, pck, q.TD, q.BodyType == BodyTDX15}.status(qe)
		got, checks := info.evaluate(pck, q, &QEIdentity{Levels: []SVNLevel{{0, Level{Status: qe}}}})
		if fits != (got != nil) || fits && got.Status != want {
			t.Fatalf("%v, want %s (%t)\n%+v\n%+v\nQE %s\n%v", got, want, fits, info, q.TD, qe, checks)
		}
		seen[want]++
	}
	for s := UpToDate; s <= TDRelaunchAdvisedConfigurationNeeded; s++ {
		if seen[s] < 20 {
			t.Errorf("%d machines are %s, too few to say anything", seen[s], s)
		}
	}
}

func bodyOf(r *rand.Rand) BodyType { return BodyTDX10 + BodyType(r.Intn(2)) }
