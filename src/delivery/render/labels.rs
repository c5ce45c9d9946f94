//! The words for what events say in codes: channels, kinds of goods, countries, moments, amounts.

use jiff::tz::TimeZone;
use rust_decimal::Decimal;

use crate::core::effect::Subject;
use crate::core::time::Time;
use crate::delivery::customers::Locale;

/// A code with its word in each language.
type Words = (&'static str, &'static str, &'static str);

const CHANNELS: [Words; 9] = [
    ("alipay", "支付宝", "Alipay"),
    ("wechat", "微信支付", "WeChat Pay"),
    ("wechat_pay", "微信支付", "WeChat Pay"),
    ("wechatpay", "微信支付", "WeChat Pay"),
    ("unionpay", "银联", "UnionPay"),
    ("qq", "QQ 钱包", "QQ Wallet"),
    ("card", "银行卡", "Bank card"),
    ("bank_card", "银行卡", "Bank card"),
    ("balance", "账户余额", "Account balance"),
];

const KINDS: [Words; 4] = [
    ("topup", "充值", "top-up"),
    ("card_key", "卡密", "card key"),
    ("direct", "直充", "direct top-up"),
    ("membership", "会员", "membership"),
];

const COUNTRIES: [Words; 34] = [
    ("AE", "阿联酋", "United Arab Emirates"),
    ("AU", "澳大利亚", "Australia"),
    ("BR", "巴西", "Brazil"),
    ("CA", "加拿大", "Canada"),
    ("CH", "瑞士", "Switzerland"),
    ("CN", "中国", "China"),
    ("DE", "德国", "Germany"),
    ("EG", "埃及", "Egypt"),
    ("ES", "西班牙", "Spain"),
    ("FR", "法国", "France"),
    ("GB", "英国", "United Kingdom"),
    ("HK", "中国香港", "Hong Kong"),
    ("ID", "印度尼西亚", "Indonesia"),
    ("IN", "印度", "India"),
    ("IT", "意大利", "Italy"),
    ("JP", "日本", "Japan"),
    ("KH", "柬埔寨", "Cambodia"),
    ("KR", "韩国", "South Korea"),
    ("MM", "缅甸", "Myanmar"),
    ("MO", "中国澳门", "Macao"),
    ("MX", "墨西哥", "Mexico"),
    ("MY", "马来西亚", "Malaysia"),
    ("NG", "尼日利亚", "Nigeria"),
    ("NL", "荷兰", "Netherlands"),
    ("NZ", "新西兰", "New Zealand"),
    ("PH", "菲律宾", "Philippines"),
    ("RU", "俄罗斯", "Russia"),
    ("SG", "新加坡", "Singapore"),
    ("TH", "泰国", "Thailand"),
    ("TR", "土耳其", "Türkiye"),
    ("TW", "中国台湾", "Taiwan"),
    ("US", "美国", "United States"),
    ("VN", "越南", "Vietnam"),
    ("ZA", "南非", "South Africa"),
];

const REGIONS: [Words; 36] = [
    ("anhui", "安徽", "Anhui"),
    ("beijing", "北京", "Beijing"),
    ("chongqing", "重庆", "Chongqing"),
    ("fujian", "福建", "Fujian"),
    ("gansu", "甘肃", "Gansu"),
    ("guangdong", "广东", "Guangdong"),
    ("guangxi", "广西", "Guangxi"),
    ("guizhou", "贵州", "Guizhou"),
    ("hainan", "海南", "Hainan"),
    ("hebei", "河北", "Hebei"),
    ("heilongjiang", "黑龙江", "Heilongjiang"),
    ("henan", "河南", "Henan"),
    ("hongkong", "香港", "Hong Kong"),
    ("hubei", "湖北", "Hubei"),
    ("hunan", "湖南", "Hunan"),
    ("inner_mongolia", "内蒙古", "Inner Mongolia"),
    ("jiangsu", "江苏", "Jiangsu"),
    ("jiangxi", "江西", "Jiangxi"),
    ("jilin", "吉林", "Jilin"),
    ("liaoning", "辽宁", "Liaoning"),
    ("macau", "澳门", "Macao"),
    ("neimenggu", "内蒙古", "Inner Mongolia"),
    ("ningxia", "宁夏", "Ningxia"),
    ("qinghai", "青海", "Qinghai"),
    ("shaanxi", "陕西", "Shaanxi"),
    ("shandong", "山东", "Shandong"),
    ("shanghai", "上海", "Shanghai"),
    ("shanxi", "山西", "Shanxi"),
    ("sichuan", "四川", "Sichuan"),
    ("taiwan", "台湾", "Taiwan"),
    ("tianjin", "天津", "Tianjin"),
    ("tibet", "西藏", "Tibet"),
    ("xinjiang", "新疆", "Xinjiang"),
    ("xizang", "西藏", "Tibet"),
    ("yunnan", "云南", "Yunnan"),
    ("zhejiang", "浙江", "Zhejiang"),
];

const SEVERITIES: [Words; 4] = [
    ("low", "低", "low"),
    ("medium", "中", "medium"),
    ("high", "高", "high"),
    ("critical", "紧急", "critical"),
];

const STATES: [Words; 6] = [
    ("open", "待受理", "open"),
    ("acknowledged", "处理中", "being worked on"),
    ("resolved", "已完成", "resolved"),
    ("withdrawn", "已撤销", "withdrawn"),
    ("merged", "已并入其他工单", "merged into another ticket"),
    ("closed", "已关闭", "closed"),
];

const FIELDS: [Words; 9] = [
    ("account_id", "账户", "account"),
    ("order_id", "订单", "order"),
    ("channel", "支付渠道", "channel"),
    ("supplier", "供货方", "supplier"),
    ("product", "商品", "product"),
    ("region", "地区", "region"),
    ("device_id", "设备", "device"),
    ("ip", "IP", "IP"),
    ("card_id", "卡", "card"),
];

/// The word for a code, or the code itself: a platform has names of its own.
fn word<'a>(words: &[Words], code: &'a str, locale: Locale) -> &'a str
where
    'static: 'a,
{
    let found = words.iter().find(|(known, ..)| known.eq_ignore_ascii_case(code));
    found.map_or(code, |(_, zh, en)| match locale {
        Locale::ZhCn => *zh,
        Locale::En => *en,
    })
}

pub fn channel(code: &str, locale: Locale) -> &str {
    word(&CHANNELS, code, locale)
}

pub fn region(code: &str, locale: Locale) -> &str {
    word(&REGIONS, code, locale)
}

pub fn kind(code: &str, locale: Locale) -> &str {
    word(&KINDS, code, locale)
}

pub fn severity(code: &str, locale: Locale) -> &str {
    word(&SEVERITIES, code, locale)
}

pub fn state(code: &str, locale: Locale) -> &str {
    word(&STATES, code, locale)
}

/// `日本 东京`, `Tokyo, Japan`.
pub fn place(
    country: Option<&str>,
    region: Option<&str>,
    city: Option<&str>,
    locale: Locale,
) -> Option<String> {
    let country = country.map(|code| word(&COUNTRIES, code, locale));
    let region = region.filter(|region| Some(*region) != city).map(|code| word(&REGIONS, code, locale));
    let parts = [country, region, city].into_iter().flatten().filter(|part| !part.is_empty());
    let place = match locale {
        Locale::ZhCn => parts.collect::<Vec<_>>().join(" "),
        Locale::En => parts.rev().collect::<Vec<_>>().join(", "),
    };
    (!place.is_empty()).then_some(place)
}

/// What is in trouble, as a plural phrase: `华东地区的支付宝支付`, `Alipay payments in East China`.
pub fn trouble(subject: &Subject, locale: Locale) -> String {
    let product = subject.get("product");
    let thing = match (subject.get("channel"), subject.get("supplier"), product, locale) {
        (Some(code), _, _, Locale::ZhCn) => {
            let name = channel(code, locale);
            if name.ends_with("支付") { name.to_owned() } else { format!("{}支付", before_chinese(name)) }
        }
        (Some(code), _, _, Locale::En) => format!("{} payments", channel(code, locale)),
        (_, Some(supplier), _, Locale::ZhCn) => format!("{supplier} 的供货"),
        (_, Some(supplier), _, Locale::En) => format!("Deliveries from {supplier}"),
        (_, _, Some(product), Locale::ZhCn) => format!("{product} 的交易"),
        (_, _, Some(product), Locale::En) => format!("Orders of {product}"),
        (None, None, None, Locale::ZhCn) => "交易".to_owned(),
        (None, None, None, Locale::En) => "Payments".to_owned(),
    };
    let with_product =
        product.filter(|_| subject.get("channel").is_some() || subject.get("supplier").is_some());
    let region = subject.get("region").map(|code| word(&REGIONS, code, locale));
    match (locale, with_product, region) {
        (Locale::ZhCn, product, region) => {
            let region = region.map(|region| format!("{}地区的", before_chinese(region))).unwrap_or_default();
            let product = product.map(|product| format!("（{product}）")).unwrap_or_default();
            format!("{region}{thing}{product}")
        }
        (Locale::En, product, region) => {
            let product = product.map(|product| format!(" for {product}")).unwrap_or_default();
            let region = region.map(|region| format!(" in {region}")).unwrap_or_default();
            format!("{thing}{product}{region}")
        }
    }
}

/// A name with the space that separates Latin letters from Chinese ones.
pub fn before_chinese(name: &str) -> String {
    let latin = name.ends_with(|last: char| last.is_ascii_alphanumeric());
    if latin { format!("{name} ") } else { name.to_owned() }
}

/// A subject for staff: `支付渠道 支付宝，地区 east`.
pub fn subject(subject: &Subject, locale: Locale) -> String {
    let parts: Vec<String> = subject
        .0
        .iter()
        .map(|(field, value)| {
            let value = match field.as_str() {
                "channel" => channel(value, locale),
                "region" => region(value, locale),
                "kind" => kind(value, locale),
                _ => value,
            };
            format!("{} {value}", word(&FIELDS, field, locale))
        })
        .collect();
    match (parts.is_empty(), locale) {
        (true, Locale::ZhCn) => "全部".to_owned(),
        (true, Locale::En) => "everything".to_owned(),
        (false, Locale::ZhCn) => parts.join("，"),
        (false, Locale::En) => parts.join(", "),
    }
}

/// `¥100.00`, `100.00 USD`.
pub fn amount(amount: Decimal, currency: Option<&str>, locale: Locale) -> String {
    match (currency, locale) {
        (Some("CNY"), Locale::ZhCn) => format!("¥{amount}"),
        (Some(currency), _) => format!("{amount} {currency}"),
        (None, _) => amount.to_string(),
    }
}

/// A number of the evidence: shares as a percentage, the rest with as many digits as say something.
pub fn number(value: f64, is_share: bool) -> String {
    if is_share {
        return format!("{:.1}%", value * 100.0).replace(".0%", "%");
    }
    let text = format!("{value:.2}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    text.to_owned()
}

/// A zone by its name; [`None`] if this machine does not know it.
pub fn zone(name: &str) -> Option<TimeZone> {
    if name == "UTC" {
        return Some(TimeZone::UTC);
    }
    TimeZone::get(name).ok().or_else(|| {
        // Most of our readers live in one zone without summer time: it needs no database.
        (name == "Asia/Shanghai").then(|| TimeZone::fixed(jiff::tz::offset(8)))
    })
}

/// `10月1日 16:12`, `1 October, 16:12`.
pub fn moment(time: Time, zone: &TimeZone, locale: Locale) -> String {
    let Ok(timestamp) = jiff::Timestamp::from_millisecond(time.as_millis()) else {
        return time.to_string();
    };
    let local = timestamp.to_zoned(zone.clone());
    match locale {
        Locale::ZhCn => format!("{}月{}日 {}", local.month(), local.day(), local.strftime("%H:%M")),
        Locale::En => local.strftime("%-d %B, %H:%M").to_string(),
    }
}

/// The zone as readers know it: `北京时间`, `Beijing time`, else `UTC+9`.
pub fn zone_name(time: Time, zone: &TimeZone, locale: Locale) -> String {
    let Ok(timestamp) = jiff::Timestamp::from_millisecond(time.as_millis()) else {
        return "UTC".to_owned();
    };
    let seconds = zone.to_offset(timestamp).seconds();
    let chinese = seconds == 8 * 3_600
        && zone.iana_name().is_none_or(|name| matches!(name, "Asia/Shanghai" | "Asia/Chongqing" | "PRC"));
    match (chinese, locale, seconds) {
        (true, Locale::ZhCn, _) => "北京时间".to_owned(),
        (true, Locale::En, _) => "Beijing time".to_owned(),
        (false, _, 0) => "UTC".to_owned(),
        (false, _, seconds) => {
            let minutes = seconds.abs() / 60;
            let sign = if seconds < 0 { '-' } else { '+' };
            match minutes % 60 {
                0 => format!("UTC{sign}{}", minutes / 60),
                rest => format!("UTC{sign}{}:{rest:02}", minutes / 60),
            }
        }
    }
}
