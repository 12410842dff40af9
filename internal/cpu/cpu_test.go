package cpu

import "testing"

func TestLimit(t *testing.T) {
	all := FeaturesAVX512 | AVX512VNNI
	for _, c := range []struct {
		env  string
		want Feature
	}{
		{"", all},
		{"avx512", all},
		{"avx2", FeaturesAVX2},
		{"generic", 0},
		{"AVX2", all}, // unknown names change nothing; EnvError tells
	} {
		if got := limit(all, c.env); got != c.want {
			t.Errorf("limit(%v, %q) = %v, want %v", all, c.env, got, c.want)
		}
	}
	if got := limit(AVX2, "avx512"); got != AVX2 {
		t.Errorf("limit raised the level: got %v, want %v", got, AVX2)
	}
}

func TestHide(t *testing.T) {
	before := Best()
	restore := Hide(AVX512BW)
	if Best() == LevelAVX512 {
		t.Error("Best is avx512 with AVX512BW hidden")
	}
	inner := Hide(FMA)
	if Best() != Generic {
		t.Errorf("Best = %v with FMA hidden, want generic", Best())
	}
	if Has(FMA) {
		t.Error("Has(FMA) while hidden")
	}
	inner()
	restore()
	if Best() != before {
		t.Errorf("Best = %v after restore, want %v", Best(), before)
	}
}

func TestLevel_roundTrip(t *testing.T) {
	for l := Generic; l <= LevelAVX512; l++ {
		got, err := ParseLevel(l.String())
		if err != nil || got != l {
			t.Errorf("ParseLevel(%q) = %v, %v", l, got, err)
		}
	}
	if _, err := ParseLevel("sse"); err == nil {
		t.Error("ParseLevel accepted sse")
	}
	if got := (AVX2 | FMA).String(); got != "avx2+fma" {
		t.Errorf("String = %q", got)
	}
}

func TestCap(t *testing.T) {
	calls := 0
	defer func(old []func()) { followers = old }(followers)
	var active *Level
	Follow(&active, func() *Level {
		calls++
		l := Best()
		return &l
	})
	before := Best()
	defer func() {
		if Uncap(); Best() != before {
			t.Errorf("after Uncap Best is %v, want %v", Best(), before)
		}
	}()
	for l := Generic; l <= LevelAVX512; l++ {
		calls = 0
		err := Cap(l)
		if l > before {
			if err == nil || calls != 0 {
				t.Errorf("Cap(%v) on a machine with %v: error %v, %d calls", l, before, err, calls)
			}
			continue
		}
		if err != nil || Best() != l || calls != 1 || *active != l {
			t.Errorf("Cap(%v): error %v, Best %v, %d calls", l, err, Best(), calls)
		}
	}
}

// TestDetect_FeaturesStandAlone: no feature is concluded from another one.
func TestDetect_FeaturesStandAlone(t *testing.T) {
	for f := range Feature(len(featureName)) {
		restore := Hide(1 << f)
		if Has(1 << f) {
			t.Errorf("%v while hidden", Feature(1<<f))
		}
		if got := usable &^ Available(); got&^(1<<f) != 0 {
			t.Errorf("hiding %v hides %v", Feature(1<<f), got)
		}
		restore()
	}
}

// TestAssume: plans may count on what is assumed, nothing else may.
func TestAssume(t *testing.T) {
	defer Hide(AVX512F)()
	best := Best()
	restore := Assume(LevelAVX512)
	if Planned() != LevelAVX512 || !Plannable(FeaturesAVX512) {
		t.Errorf("plans count on %v, want avx512", Planned())
	}
	if Best() != best || Has(AVX512F) {
		t.Error("what is assumed may run")
	}
	restore()
	if Planned() != best {
		t.Errorf("plans count on %v afterwards, want %v", Planned(), best)
	}
}
