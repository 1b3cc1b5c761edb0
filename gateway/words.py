"""The words of our messages in Vietnamese and English, and how they are put together. Plain text, NFC, no
markup.

Headlines stand alone in at most 70 characters, because one SMS part in UCS-2 has 70 and a locked phone shows
about that much. What is called by these words and what is not:
- A fire text always says "Gọi 114". It never claims that somebody else was called, and never that this is a
  certified fire-alarm transmission device.
- The end of the signals is not the end of a fire: the texts of CLEARED and CLOSED say "nếu còn cháy".
Source: domain facts on what a fire push must carry; the wording itself is ours.
"""

from dataclasses import dataclass
from typing import Final

HEADLINE_CHARS_MAX: Final = 70


@dataclass(frozen=True, slots=True)
class Words:
    """One language. Braces are filled in by `gateway.message`.

    `state` by (hazard, state); `level` by flood level; `kind` by kind of channel, `trouble` by kind of
    trouble (long, short, what to look at), each with a readable fallback for kinds that have no words yet.
    """

    state: dict[tuple[str, str], str]
    level: tuple[str, ...]
    kind: dict[str, str]
    trouble: dict[str, tuple[str, str, str]]
    trouble_other: tuple[str, str, str]
    cause: dict[str, str]
    reason: dict[str, str]
    drill: str
    repeat: str
    level_word: str
    depth: str
    at_least: str
    at_most: str
    houses: str
    places: str
    call: str
    call_if_fire: str
    call_if_real: str
    contact_on: str
    contact_was: str
    decimal: str
    line: dict[str, str]


VI: Final = Words(
    state={
        ("fire", "pre_alarm"): "NGHI CHÁY",
        ("fire", "confirmed"): "CHÁY",
        ("fire", "under_control"): "ĐÃ KHỐNG CHẾ",
        ("fire", "cleared"): "HẾT BÁO CHÁY",
        ("fire", "closed"): "ĐÓNG BÁO CHÁY",
        ("flood", "pre_alarm"): "NGUY CƠ NGẬP",
        ("flood", "confirmed"): "NGẬP",
        ("flood", "under_control"): "ĐÃ XỬ LÝ NGẬP",
        ("flood", "cleared"): "HẾT NGẬP",
        ("flood", "closed"): "ĐÓNG BÁO NGẬP",
        ("air", "pre_alarm"): "NGUY CƠ Ô NHIỄM",
        ("air", "confirmed"): "KHÔNG KHÍ Ô NHIỄM",
        ("air", "under_control"): "ĐÃ XỬ LÝ Ô NHIỄM",
        ("air", "cleared"): "HẾT Ô NHIỄM",
        ("air", "closed"): "ĐÓNG BÁO Ô NHIỄM",
        ("trouble", "pre_alarm"): "SỰ CỐ THIẾT BỊ",
        ("trouble", "confirmed"): "SỰ CỐ THIẾT BỊ",
        ("trouble", "under_control"): "ĐANG SỬA THIẾT BỊ",
        ("trouble", "cleared"): "HẾT SỰ CỐ THIẾT BỊ",
        ("trouble", "closed"): "ĐÓNG SỰ CỐ THIẾT BỊ",
    },
    level=("", "theo dõi", "cảnh báo", "nguy hiểm", "khẩn cấp"),
    kind={
        "smoke_contact": "khói",
        "smoke_db_m": "khói",
        "heat_contact": "nhiệt",
        "temperature_c": "nhiệt",
        "call_point": "nút báo cháy",
        "panel_fire": "tủ báo cháy",
        "panel_fault": "lỗi tủ báo cháy",
        "co_ppm": "khí CO",
        "water_contact": "nước chạm",
        "depth_m": "sâu",
        "sill_gap_m": "cách ngưỡng cửa",
        "rain_rate_mm_h": "mưa",
        "rain_10min_mm": "mưa 10 phút",
        "rain_1h_mm": "mưa 1 giờ",
        "rain_24h_mm": "mưa 24 giờ",
        "vn_aqi": "VN_AQI",
        "pm2_5_ug_m3": "bụi PM2.5",
        "pm10_ug_m3": "bụi PM10",
    },
    trouble={
        "bus_down": (
            "mất đường dây {subject}",
            "mất đường dây",
            "bộ chuyển USB, dây RS-485, nguồn cảm biến trên đường dây {subject}",
        ),
        "silent": (
            "{subject} mất tín hiệu",
            "cảm biến mất tín hiệu",
            "nguồn, dây nối, địa chỉ và đầu đo của cảm biến {subject}",
        ),
        "unwritable": (
            "không ghi được sổ sự việc",
            "không ghi được đĩa",
            "đĩa đầy, thẻ nhớ hỏng hoặc bị khoá ghi (df -h; dmesg)",
        ),
        "away": (
            "không tới được máy chủ {subject}",
            "mất máy chủ",
            "đường truyền, máy chủ {subject}; dữ liệu đang chờ trong máy, chưa mất",
        ),
        "refusing": (
            "máy chủ {subject} từ chối dữ liệu",
            "máy chủ từ chối",
            "mật khẩu, quyền ghi, tên org/bucket của {subject}; dữ liệu đang chờ trong máy",
        ),
        "foreign": (
            "máy khác trả lời thay {subject}",
            "máy chủ lạ trả lời",
            "địa chỉ của {subject}, trang đăng nhập của mạng",
        ),
        "taken_over": (
            "máy khác dùng tên của ta trên {subject}",
            "trùng tên máy",
            "hai máy cùng một gateway id trên {subject}",
        ),
        "growing": (
            "dữ liệu chờ gửi nhiều quá nửa kho",
            "kho dữ liệu sắp đầy",
            "đường truyền và máy chủ; kho (spool_mb) đầy thì dữ liệu cũ nhất bị bỏ",
        ),
        "dropping": (
            "kho đầy, đang bỏ dữ liệu cũ nhất",
            "đang bỏ dữ liệu cũ",
            "đường truyền và máy chủ; tăng spool_mb nếu thẻ nhớ còn chỗ",
        ),
        "unsynced": (
            "đồng hồ chưa đồng bộ",
            "đồng hồ chưa đồng bộ",
            "NTP, đường truyền; giờ trong tin là giờ ước lượng",
        ),
    },
    trouble_other=("{subject}: {kind}", "{kind}", "thiết bị {subject}"),
    cause={
        "real": "có thật",
        "cooking": "nấu ăn",
        "steam": "hơi nước",
        "incense": "hương khói",
        "fogging": "phun thuốc muỗi",
        "fault": "lỗi thiết bị",
        "drill": "diễn tập",
        "alarm_gone": "cấu hình không còn cảnh báo này",
        "place_moved": "cảnh báo đã chuyển sang nơi khác",
    },
    reason={
        "first": "báo lần đầu",
        "escalated": "tăng mức",
        "more_evidence": "thêm dấu hiệu",
        "unacked_repeat": "nhắc lại vì chưa ai nhận",
        "under_control": "đã khống chế",
        "cleared": "hết tín hiệu",
        "closed": "đã đóng",
    },
    drill="DIỄN TẬP",
    repeat="NHẮC LẠI",
    level_word="mức {n}",
    depth="sâu {text} cm",
    at_least="≥{text}",
    at_most="≤{text}",
    houses="+{n} nhà",
    places="+{n} nơi",
    call="Gọi 114",
    call_if_fire="Nếu còn cháy: Gọi 114",
    call_if_real="Gọi 114 nếu cháy thật",
    contact_on="{what}: đang báo",
    contact_was="{what}: đã báo",
    decimal=",",
    line={
        "drill": "ĐÂY LÀ DIỄN TẬP, không phải sự việc thật. Nếu cháy thật: Gọi 114.",
        "drill_other": "ĐÂY LÀ DIỄN TẬP, không phải sự việc thật.",
        "place": "Nơi: {place}",
        "inside": "Thuộc: {place}",
        "address": "Địa chỉ: {text}",
        "floor": "Tầng/căn: {text}",
        "access": "Lối vào: {text}",
        "contact": "Liên hệ: {text}",
        "evidence": "Dấu hiệu:",
        "one": "- {what} ({place}; {channel}), từ {time}",
        "limit": "{what}, ngưỡng {text}",
        "more": "- và {n} dấu hiệu khác",
        "also": "Cả: {place}",
        "check": "Cần kiểm tra: {text}",
        "blind_fire": "Trong lúc này cảm biến đó KHÔNG canh cháy.",
        "level": "Mức {n}: {word}",
        "level_only": "Mức {n}",
        "map": "Bản đồ: {text}",
        "cause": "Nguyên nhân: {text}",
        "opened": "Bắt đầu: {time}",
        "changed": "Tin này: {time}, {reason}",
        "guessed": "Giờ ước lượng: đồng hồ của máy chưa được đồng bộ.",
        "acked": "Đã nhận việc: {text}",
        "ack": "Chưa ai nhận việc. Ai đi thì báo nhận mã {id} (tại máy: wardwatch ack {id}).",
        "id": "Mã sự việc: {id}, tin số {revision}",
        "helper": "Tin hỗ trợ của phường, không thay thế thiết bị truyền tin báo cháy theo quy định.",
        "call": "Gọi 114 ngay nếu thấy khói hoặc lửa.",
        "call_after": "Nếu còn khói hoặc lửa: Gọi 114.",
    },
)

EN: Final = Words(
    state={
        ("fire", "pre_alarm"): "POSSIBLE FIRE",
        ("fire", "confirmed"): "FIRE",
        ("fire", "under_control"): "UNDER CONTROL",
        ("fire", "cleared"): "SIGNAL OVER",
        ("fire", "closed"): "FIRE CLOSED",
        ("flood", "pre_alarm"): "FLOOD EXPECTED",
        ("flood", "confirmed"): "FLOOD",
        ("flood", "under_control"): "FLOOD HANDLED",
        ("flood", "cleared"): "FLOOD OVER",
        ("flood", "closed"): "FLOOD CLOSED",
        ("air", "pre_alarm"): "BAD AIR EXPECTED",
        ("air", "confirmed"): "BAD AIR",
        ("air", "under_control"): "BAD AIR HANDLED",
        ("air", "cleared"): "BAD AIR OVER",
        ("air", "closed"): "BAD AIR CLOSED",
        ("trouble", "pre_alarm"): "DEVICE FAULT",
        ("trouble", "confirmed"): "DEVICE FAULT",
        ("trouble", "under_control"): "DEVICE FAULT IN REPAIR",
        ("trouble", "cleared"): "DEVICE FAULT OVER",
        ("trouble", "closed"): "DEVICE FAULT CLOSED",
    },
    level=("", "watch", "warning", "dangerous", "emergency"),
    kind={
        "smoke_contact": "smoke",
        "smoke_db_m": "smoke",
        "heat_contact": "heat",
        "temperature_c": "heat",
        "call_point": "call point",
        "panel_fire": "fire panel",
        "panel_fault": "fire panel fault",
        "co_ppm": "CO gas",
        "water_contact": "water contact",
        "depth_m": "depth",
        "sill_gap_m": "below the sill",
        "rain_rate_mm_h": "rain",
        "rain_10min_mm": "rain in 10 min",
        "rain_1h_mm": "rain in 1 h",
        "rain_24h_mm": "rain in 24 h",
        "vn_aqi": "VN_AQI",
        "pm2_5_ug_m3": "PM2.5",
        "pm10_ug_m3": "PM10",
    },
    trouble={
        "bus_down": (
            "line {subject} is down",
            "a line is down",
            "the USB adapter, the RS-485 wire and the supply of the sensors on line {subject}",
        ),
        "silent": (
            "{subject} is silent",
            "a sensor is silent",
            "supply, wire, address and head of sensor {subject}",
        ),
        "unwritable": (
            "the incident journal is stuck",
            "the disk cannot be written",
            "disk full, card worn out or read-only (df -h; dmesg)",
        ),
        "away": (
            "server {subject} is away",
            "a server is away",
            "the uplink and server {subject}; data wait here, nothing is lost yet",
        ),
        "refusing": (
            "server {subject} refuses our data",
            "a server refuses",
            "password, rights, org and bucket at {subject}; data wait here",
        ),
        "foreign": (
            "something else answers for {subject}",
            "a foreign server answers",
            "the address of {subject}, a login page of the network",
        ),
        "taken_over": (
            "another machine uses our name on {subject}",
            "our name is used twice",
            "two gateways with one id on {subject}",
        ),
        "growing": (
            "more than half of the spool waits",
            "the spool is filling up",
            "uplink and servers; when spool_mb is full the oldest data are dropped",
        ),
        "dropping": (
            "the spool is full, oldest data are dropped",
            "old data are dropped",
            "uplink and servers; raise spool_mb if the card has room",
        ),
        "unsynced": (
            "the clock is not synchronised",
            "the clock is not synchronised",
            "NTP, the uplink; times in messages are estimates",
        ),
    },
    trouble_other=("{subject}: {kind}", "{kind}", "device {subject}"),
    cause={
        "alarm_gone": "the configuration no longer has this alarm",
        "place_moved": "the alarm moved to another place",
    },
    reason={
        "first": "first report",
        "escalated": "it got worse",
        "more_evidence": "more signs",
        "unacked_repeat": "reminder, nobody has answered",
        "under_control": "under control",
        "cleared": "signals over",
        "closed": "closed",
    },
    drill="DRILL/DIỄN TẬP",
    repeat="REMINDER",
    level_word="level {n}",
    depth="{text} cm deep",
    at_least="≥{text}",
    at_most="≤{text}",
    houses="+{n} houses",
    places="+{n} places",
    call="Call 114",
    call_if_fire="If it burns: call 114",
    call_if_real="Call 114 if it is real",
    contact_on="{what}: on",
    contact_was="{what}: was on",
    decimal=".",
    line={
        "drill": "THIS IS A DRILL (DIỄN TẬP), nothing real. If there is a real fire: call 114 (Gọi 114).",
        "drill_other": "THIS IS A DRILL (DIỄN TẬP), nothing real.",
        "place": "Place: {place}",
        "inside": "In: {place}",
        "address": "Address: {text}",
        "floor": "Floor/flat: {text}",
        "access": "Access: {text}",
        "contact": "Contact: {text}",
        "evidence": "Signs:",
        "one": "- {what} ({place}; {channel}), since {time}",
        "limit": "{what}, limit {text}",
        "more": "- and {n} more signs",
        "also": "Also: {place}",
        "check": "Look at: {text}",
        "blind_fire": "Meanwhile that sensor does NOT watch for fire.",
        "level": "Level {n}: {word}",
        "level_only": "Level {n}",
        "map": "Map: {text}",
        "cause": "Cause: {text}",
        "opened": "Began: {time}",
        "changed": "This message: {time}, {reason}",
        "guessed": "Times are estimates: the clock of the machine is not synchronised.",
        "acked": "Going: {text}",
        "ack": "Nobody has answered. Whoever goes reports {id} (at the machine: wardwatch ack {id}).",
        "id": "Incident {id}, message {revision}",
        "helper": "A helper message of the ward; it replaces no prescribed fire-alarm transmission device.",
        "call": "Call 114 (Gọi 114) at once if you see smoke or fire.",
        "call_after": "If there is still smoke or fire: call 114 (Gọi 114).",
    },
)

LANGUAGES: Final = {"vi": VI, "en": EN}
