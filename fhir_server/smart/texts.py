"""The words on the pages, in English and Chinese. A test sees that both have the same keys."""

from __future__ import annotations

from typing import Final

LANGUAGES: Final = {"en": "English", "zh": "中文"}

TEXTS: Final[dict[str, dict[str, str]]] = {
    "en": {
        "house": "FHIR server",
        "login": "Log in",
        "login_for": "{app} asks for access to health records. Log in to go on.",
        "login_as": "This app was opened for another account: log in with that one.",
        "name": "User name",
        "password": "Password",
        "wrong": "User name or password is wrong.",
        "locked": "Too many attempts. Try again in {seconds} seconds.",
        "needs_totp": "This account needs a one-time code: ask your security administrator to set it up.",
        "external_failed": "The log-in at the other provider did not succeed.",
        "or": "or",
        "login_with": "Log in with {name}",
        "totp": "One-time code",
        "totp_hint": "Enter the six digits that your authenticator app shows.",
        "wrong_code": "The code is wrong or was used before.",
        "continue": "Continue",
        "cancel": "Cancel",
        "patient": "Choose a patient",
        "patient_hint": "{app} will open this patient's record.",
        "own_hint": "{app} will open the record that you choose.",
        "search": "Search",
        "search_name": "Patient's name",
        "born": "born",
        "nobody": "No patient was found.",
        "no_patient": "This account is linked to no patient's record.",
        "consent": "Allow access?",
        "consent_hint": "{app} asks to:",
        "consent_patient": "Record of {name}",
        "consent_help": "Take out the tick where you do not agree.",
        "allow": "Allow",
        "deny": "Do not allow",
        "offline": "Keep access after you have gone, until you end it on the page “Your apps”",
        "online": "Keep access while you are logged in",
        "identity": "Know who you are",
        "narrowed": "only where {filter}",
        "all": "all records",
        "c": "add",
        "r": "read",
        "u": "change",
        "d": "delete",
        "s": "search",
        "error": "This did not work",
        "invalid_request": "The app's request cannot be carried out. Begin again in the app.",
        "invalid_client": "This app is not registered here. Tell the people who made it.",
        "invalid_scope": "The app asks for nothing that it may be granted. Tell the people who made it.",
        "over": "This page has been open too long or was opened in another browser. Begin again in the app.",
        "throttled": "There are too many requests from your network. Wait a moment and try again.",
        "error_code": "Error: {code}",
        "logout": "Log out",
        "logged_out": "You are logged out",
        "logged_out_hint": "Apps that you allowed to keep access still have it: see “Your apps”.",
        "logout_hint": "You are logged in as {name}.",
        "apps": "Your apps",
        "apps_hint": "These apps have access to records because you allowed it.",
        "no_apps": "No app has access.",
        "end": "End access",
        "since": "since {date}",
        "access_until_ended": "until you end it",
        "access_short": "for at most an hour",
        "language": "Language",
    },
    "zh": {
        "house": "FHIR 服务器",
        "login": "登录",
        "login_for": "{app} 请求访问健康档案。请登录后继续。",
        "login_as": "该应用是为另一个账户打开的，请使用那个账户登录。",
        "name": "用户名",
        "password": "密码",
        "wrong": "用户名或密码错误。",
        "locked": "尝试次数过多，请在 {seconds} 秒后重试。",
        "needs_totp": "该账户必须使用动态验证码，请联系安全管理员设置。",
        "external_failed": "在其他身份平台的登录没有成功。",
        "or": "或",
        "login_with": "使用 {name} 登录",
        "totp": "动态验证码",
        "totp_hint": "请输入身份验证器应用显示的六位数字。",
        "wrong_code": "验证码错误或已被使用。",
        "continue": "继续",
        "cancel": "取消",
        "patient": "选择患者",
        "patient_hint": "{app} 将打开该患者的档案。",
        "own_hint": "{app} 将打开您选择的档案。",
        "search": "查找",
        "search_name": "患者姓名",
        "born": "出生日期",
        "nobody": "没有找到患者。",
        "no_patient": "该账户没有关联任何患者档案。",
        "consent": "是否允许访问？",
        "consent_hint": "{app} 请求：",
        "consent_patient": "{name} 的档案",
        "consent_help": "如不同意某一项，请取消勾选。",
        "allow": "允许",
        "deny": "不允许",
        "offline": "在您离开后继续访问，直到您在“我的应用”页面终止",
        "online": "在您登录期间保持访问",
        "identity": "了解您的身份",
        "narrowed": "仅限 {filter}",
        "all": "全部记录",
        "c": "新增",
        "r": "读取",
        "u": "修改",
        "d": "删除",
        "s": "检索",
        "error": "操作未成功",
        "invalid_request": "无法处理该应用的请求。请关闭本页，并在应用中重新开始。",
        "invalid_client": "该应用未在此登记。请告知应用的开发者。",
        "invalid_scope": "该应用请求的权限都不能授予。请告知应用的开发者。",
        "over": "本页打开时间过长，或是在另一个浏览器中打开的。请在应用中重新开始。",
        "throttled": "来自您所在网络的请求过多，请稍候再试。",
        "error_code": "错误代码：{code}",
        "logout": "退出登录",
        "logged_out": "您已退出登录",
        "logged_out_hint": "请关闭本页。您允许持续访问的应用仍有访问权限，请查看“我的应用”。",
        "logout_hint": "您已登录为 {name}。",
        "apps": "我的应用",
        "apps_hint": "以下应用因您的许可而可以访问健康档案。",
        "no_apps": "没有应用拥有访问权限。",
        "end": "终止访问",
        "since": "自 {date} 起",
        "access_until_ended": "直到您终止为止",
        "access_short": "最多一小时",
        "language": "语言",
    },
}

TYPES_ZH: Final = {
    "*": "全部记录",
    "AllergyIntolerance": "过敏与不耐受",
    "Appointment": "预约",
    "CarePlan": "诊疗计划",
    "CareTeam": "医疗团队",
    "Claim": "理赔申请",
    "Condition": "诊断与健康问题",
    "Consent": "知情同意",
    "Coverage": "医疗保险",
    "Device": "医疗器械",
    "DiagnosticReport": "检查检验报告",
    "DocumentReference": "病历文书",
    "Encounter": "就诊记录",
    "ExplanationOfBenefit": "费用结算单",
    "Goal": "健康目标",
    "Immunization": "预防接种",
    "Location": "地点",
    "Medication": "药品",
    "MedicationDispense": "发药记录",
    "MedicationRequest": "用药医嘱",
    "MedicationStatement": "用药情况",
    "Observation": "检验与生命体征",
    "Organization": "机构",
    "Patient": "患者基本信息",
    "Practitioner": "医务人员",
    "PractitionerRole": "医务人员岗位",
    "Procedure": "手术与操作",
    "Provenance": "记录来源",
    "Questionnaire": "问卷",
    "QuestionnaireResponse": "问卷回答",
    "RelatedPerson": "联系人",
    "ServiceRequest": "检查检验申请",
    "Specimen": "标本",
}
"""What the pages call resource types in Chinese; a type that is missing here is called by its FHIR name."""


def preferred(header: str, cookie: str = "") -> str:
    """Return the language to show: the one chosen before, or the best of Accept-Language; else English.

    https://www.rfc-editor.org/rfc/rfc9110#field.accept-language
    """
    if cookie in LANGUAGES:
        return cookie
    best, weight = "en", 0.0
    for item in header[:1000].split(","):
        tag, _, parameters = item.strip().partition(";")
        language = tag.strip().lower().partition("-")[0]
        given = _weight(parameters)
        if language in LANGUAGES and given > weight:
            best, weight = language, given
    return best


def _weight(parameters: str) -> float:
    name, _, value = parameters.strip().partition("=")
    if name.strip() != "q":
        return 1.0
    try:
        return max(0.0, min(1.0, float(value)))
    except ValueError:
        return 0.0
