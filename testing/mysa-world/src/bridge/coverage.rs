//! Trouble of the home's own network, and the states of a bridge that it meets.

use crate::coverage::kinds;

kinds! {
    /// Kind of trouble between the bridge and the smart home, or of both, that a campaign may draw besides that of the
    /// cloud.
    LocalTrouble {
        BrokerRestarts = "broker restarts, store kept",
        BrokerForgets = "broker restarts, store lost",
        BrokerReverts = "broker restarts, store old",
        BrokerDown = "broker down",
        BrokerHangs = "broker answers nothing",
        BrokerRefuses = "broker refuses logins",
        BrokerCloses = "broker closes connections",
        LateWill = "will published late",
        Slow = "local network slow",
        Stall = "local network stalls",
        HalfOpen = "local connection half open",
        Cut = "local connection cut",
        NothingRead = "broker reads nothing",
        SlowAcks = "broker acknowledges late",
        RetainedLate = "broker sends retained messages late",
        SentTwice = "Home Assistant sends commands twice",
        HomeRestarts = "Home Assistant restarts",
        HomeDown = "Home Assistant down",
        Killed = "bridge killed",
        Stopped = "bridge stopped",
        PowerCut = "bridge loses power",
        Suspend = "host suspended, clock stops",
        Freeze = "host suspended, clock runs",
        ClockStep = "host clock set",
        Unplugged = "thermostat unplugged",
        Renamed = "thermostat renamed",
        Removed = "thermostat removed",
        Restored = "thermostat added",
        RetainedCommand = "retained command",
        CloudDown = "cloud unreachable",
    }
}

kinds! {
    /// State of a bridge, as seen from outside. Several states may hold at once.
    BridgeState {
        Off = "off",
        Asleep = "asleep",
        Starting = "starting",
        Waiting = "unconnected",
        Connecting = "connecting",
        Idle = "idle",
        CommandHeld = "cmd held",
        CommandSent = "cmd sent",
        Birth = "after birth",
        CloudAway = "cloud away",
        Leaving = "leaving",
    }
}
